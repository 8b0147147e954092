import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { openFront } from '@pushfleet/cli/front';
import { Page as FrontPage } from '@pushfleet/cli/page';
import type { Fleet as Client, Message, TransportName } from '@pushfleet/client';
import { until } from '@pushfleet/contract';
import { readRoutes } from '@pushfleet/runtime';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { startChromium } from './chromium.ts';
import { type EdgeService, Fleet, token } from './fleet.ts';
import { type Load, LoadPublisher } from './load.ts';
import { Network } from './network.ts';

/** Where a fault happens, and what can be seen of it. */
export interface Ground {
  readonly fleet: Fleet;
  readonly network: Network;
  /** The transport that the client in the page uses at this moment. */
  transport(): Promise<TransportName | undefined>;
  /** Resolves once the client in the page uses the transport. */
  settled(transport: TransportName): Promise<void>;
}

export interface BrowserFault {
  /** What the network is like when the page is opened. */
  readonly before?: (network: Network) => void;
  /** What goes wrong while publications flow. */
  readonly disturb: (ground: Ground) => Promise<void>;
}

interface Size {
  /** At least so many; publishing goes on for as long as the disturbance lasts. */
  readonly publications: number;
  /** Publications a second. */
  readonly rate: number;
}

/** What the page keeps, under names of its own. */
interface InPage {
  readonly received: [topic: string, number: number][];
  readonly troubles: string[];
  readonly client: Client;
}

const edges: readonly EdgeService[] = ['edge-websocket', 'edge-sse', 'edge-longpoll'];
const topics = [0, 1, 2, 3, 4].map((item) => `load/${item}`);
const patienceMs = 90_000;

/** Plays every fault with a client in a page of Chromium: what was acknowledged arrives there, once and in order. */
export function inBrowser(title: string, size: Size, faults: Readonly<Record<string, BrowserFault>>): void {
  describe(title, () => {
    let fleet: Fleet;
    let browser: Browser;
    before(async () => {
      fleet = await Fleet.start({ edges: 2, protocols: edges });
      browser = await startChromium();
    });
    after(async () => {
      await browser?.close();
      await fleet?.stop();
    });
    for (const [name, fault] of Object.entries(faults)) {
      test(name, async (t) => {
        await play(fleet, await browser.newContext(), size, fault).catch((error) => {
          t.diagnostic(fleet.logs().slice(-20_000));
          throw error;
        });
      });
    }
  });
}

async function play(fleet: Fleet, context: BrowserContext, size: Size, fault: BrowserFault): Promise<void> {
  const addresses: Record<string, () => string> = {
    publish: () => fleet.http.address,
    registry: () => fleet.registry.addresses.http as string,
    ...Object.fromEntries(edges.map((name) => [name, () => fleet.door(name).address])),
  };
  const addressOf = (service: string): string | undefined => addresses[service]?.();
  const front = await openFront(
    { routes: readRoutes(), addressOf, page: new FrontPage({ token: undefined }) },
    0,
  );
  const network = await Network.open(front.url);
  try {
    fault.before?.(network);
    const page = await openClient(context, network);
    await published(fleet, size, ground(fleet, network, page), fault, page);
  } finally {
    await context.close();
    network.close();
    await front.close();
  }
}

/** The front's page without its own program: it has the client at hand, and does nothing by itself. */
async function openClient(context: BrowserContext, network: Network): Promise<Page> {
  const page = await context.newPage();
  await page.route('**/page/main.ts', (route) => route.fulfill({ contentType: 'text/javascript', body: '' }));
  await page.goto(network.url);
  const given = { url: network.url, token: await token({ subscribe: ['load/#'] }) };
  await page.evaluate(async ({ url, token }) => {
    const { connect } = await import('@pushfleet/client');
    const received: InPage['received'] = [];
    const troubles: string[] = [];
    const client = connect({ url, token });
    client.on('gap', ({ from, to }) => troubles.push(`gap ${from} ${to}`));
    client.on('error', ({ retryable, code, message }) => {
      if (!retryable) troubles.push(`${code}: ${message}`);
    });
    const subscription = client.subscribe('load/#', {}, (message: Message) => {
      received.push([message.topic, message.json<Load>().number]);
    });
    Object.assign(globalThis, { received, troubles, client });
    await subscription.ready;
  }, given);
  return page;
}

function ground(fleet: Fleet, network: Network, page: Page): Ground {
  const transport = () => page.evaluate(() => (globalThis as unknown as InPage).client.transport);
  return {
    fleet,
    network,
    transport,
    settled: (wanted) =>
      until(async () => (await transport()) === wanted, `${wanted} to be used`, patienceMs),
  };
}

async function published(
  fleet: Fleet,
  size: Size,
  on: Ground,
  fault: BrowserFault,
  page: Page,
): Promise<void> {
  const publisher = new LoadPublisher({
    address: fleet.grpc.address,
    token: await token({ publish: ['load/#'] }),
    run: crypto.randomUUID(),
    publisher: 0,
    topics,
    count: size.publications,
    rate: size.rate,
  });
  const running = publisher.run();
  await until(
    () => publisher.acknowledged.length >= size.publications / 4,
    'a quarter to be published',
    patienceMs,
  );
  await fault.disturb(on).finally(() => publisher.finish());
  await running;
  assert.deepEqual(publisher.refused, []);
  const count = () => page.evaluate(() => (globalThis as unknown as InPage).received.length);
  await until(
    async () => (await count()) >= publisher.acknowledged.length,
    'all to arrive',
    patienceMs,
  ).catch(() => {});
  const { received, troubles } = await page.evaluate(() => {
    const { received, troubles } = globalThis as unknown as InPage;
    return { received, troubles };
  });
  assert.deepEqual(troubles, []);
  const numbers = (of: readonly (readonly [string, number])[], topic: string): number[] =>
    of.filter(([each]) => each === topic).map(([, number]) => number);
  const sent = publisher.acknowledged
    .map(({ topic, number }) => [topic, number] as const)
    .sort(([, a], [, b]) => a - b);
  for (const topic of topics) {
    const [wanted, had] = [numbers(sent, topic), numbers(received, topic)];
    const lost = wanted.filter((number) => !had.includes(number));
    assert.deepEqual(lost.slice(0, 10), [], `${lost.length} of ${wanted.length} on ${topic} are lost`);
    assert.deepEqual(had, wanted, `${topic} arrives once each and in order`);
  }
}
