import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { until } from '@pushfleet/contract';
import { matches, type Topic, type TopicFilter } from '@pushfleet/core';
import type { Claims, EdgeService } from './fleet.ts';
import { Listener } from './listener.ts';
import { type Load, LoadPublisher } from './load.ts';
import { ProtocolListener } from './protocol-listener.ts';
import { protocols } from './protocols/mod.ts';

const areas = ['a', 'b', 'c', 'd'];
export const topics = areas.flatMap((area) => [0, 1, 2, 3, 4].map((item) => `load/${area}/${item}`));
/** Twenty filters that overlap: every topic is matched by several. */
export const filters = [
  'load/#',
  '#',
  ...areas.map((area) => `load/${area}/#`),
  ...areas.map((area) => `load/${area}/+`),
  ...[0, 1, 2, 3, 4].map((item) => `load/+/${item}`),
  '+/a/0',
  '+/b/+',
  'load/c/3',
  'load/d/4',
  '+/+/2',
];

const patienceMs = 90_000;

/** Where clients and publishers come to: a fleet of processes, or one of containers. */
export interface Site {
  /** Those edges that it has. */
  readonly protocols: readonly EdgeService[];
  readonly grpc: { readonly address: string };
  door(name: EdgeService): { readonly address: string };
  /** A token that it takes. */
  token(claims: Claims): Promise<string>;
}

export interface TrialOptions<S extends Site> {
  /** At least so many; publishing goes on for as long as the disturbance lasts. */
  readonly publications: number;
  readonly publishers: number;
  readonly clients: number;
  /** Publications a second of all publishers together. */
  readonly rate: number;
  /** Others who are owed what is published, and whom the caller opened and closes. */
  readonly others?: readonly Client[];
  /**
   * What goes wrong; called once a quarter of the publications is acknowledged. `over` is called when recovery begins,
   * unless that is at its end.
   */
  readonly disturb: (fleet: S, over: () => void) => Promise<void>;
}

/** What the trial looks at, whichever client it is. */
export interface Client {
  readonly name: string;
  readonly filters: readonly string[];
  /** Whether it is connected. */
  readonly open: boolean;
  readonly received: readonly Load[];
  readonly troubles: readonly string[];
  /** Connections that it lost, and attempts that brought none. */
  readonly cuts: number;
  readonly failures: number;
  /** It resumes at each request, also where nothing has failed. */
  readonly pulls?: boolean;
  /** It was not promised the order of what it is given. */
  readonly unordered?: boolean;
  close(): void;
}

/** What was seen while something went wrong. */
export interface Outcome {
  readonly run: string;
  readonly acknowledged: readonly Load[];
  readonly clients: readonly Client[];
  readonly publishers: readonly LoadPublisher[];
  /** What was acknowledged and did not arrive, a line for each. */
  readonly lost: readonly string[];
  /** Milliseconds from the end of the fault until it was made good, see `recovery`; undefined where it never was. */
  readonly recoveryMs: number | undefined;
}

/**
 * Publishes under a disturbance to clients that resume by themselves, and checks what everybody was promised:
 * all that was acknowledged arrives, in order per topic and publisher, and nobody is refused for good.
 *
 * @returns what was acknowledged
 */
export async function trial<S extends Site>(fleet: S, o: TrialOptions<S>): Promise<readonly Load[]> {
  const { acknowledged, clients, lost, run } = await play(fleet, o);
  assert.deepEqual(lost.slice(0, 10), [], `${lost.length} acknowledged publications did not arrive`);
  for (const client of clients) {
    assert.deepEqual(client.troubles, [], `trouble of the client on ${client.filters.join(' ')}`);
    assert.deepEqual(disordered(client, run).slice(0, 10), []);
  }
  return acknowledged;
}

/** The trial without its verdict. @throws Error where it does not come to an end */
export async function play<S extends Site>(fleet: S, o: TrialOptions<S>): Promise<Outcome> {
  const all = await fleet.token({ publish: ['load/#'], subscribe: ['#'] });
  const listeners = Array.from({ length: o.clients }, (_, i) => listener(fleet, all, i));
  const clients = [...listeners, ...(o.others ?? [])];
  try {
    await connected(clients);
    const run = randomUUID();
    const publishers = Array.from({ length: o.publishers }, (_, publisher) => {
      const count = Math.floor(o.publications / o.publishers);
      const rate = o.rate / o.publishers;
      return new LoadPublisher({
        address: fleet.grpc.address,
        token: all,
        run,
        publisher,
        topics,
        count,
        rate,
      });
    });
    const running = Promise.all(publishers.map((publisher) => publisher.run()));
    const acknowledged = () => publishers.flatMap((publisher) => publisher.acknowledged);
    await until(() => acknowledged().length >= o.publications / 4, 'a quarter to be acknowledged', 120_000);
    let from: number | undefined;
    const over = (): void => {
      from ??= performance.now();
    };
    await o.disturb(fleet, over);
    over();
    const recovered = await recovery(publishers, clients).catch(() => undefined);
    const recoveryMs = recovered && recovered - (from as unknown as number);
    for (const publisher of publishers) publisher.finish();
    await running;
    const lost = await missing(clients, acknowledged());
    return { run, acknowledged: acknowledged(), clients, publishers, lost, recoveryMs };
  } finally {
    for (const listener of listeners) listener.close();
  }
}

/**
 * When everything that was published up to now is acknowledged, and something that was published later by each publisher,
 * and every client has all that was published up to now.
 */
async function recovery(publishers: readonly LoadPublisher[], clients: readonly Client[]): Promise<number> {
  const made = publishers.map((publisher) => publisher.made);
  const past = () => publishers.every((publisher, i) => publisher.isPast(made[i] as number));
  await until(past, 'publishing to be acknowledged again', patienceMs);
  const upToThen = publishers.flatMap((publisher, i) =>
    publisher.acknowledged.filter(({ number }) => number <= (made[i] as number)),
  );
  const debts = clients.map((client) => new Debt(client, upToThen));
  await until(() => debts.every((debt) => debt.isPaid()), 'every client to have caught up', patienceMs);
  return performance.now();
}

const served = (fleet: Site, service: string): boolean =>
  service === 'publish' || fleet.protocols.includes(service as EdgeService);

/** A client of each protocol in turn, with up to three filters; every other one is an EventSource left to itself. */
function listener(fleet: Site, token: string, index: number): Client {
  const present = protocols.filter(({ service }) => served(fleet, service));
  const protocol = index % 2 === 0 ? undefined : present[((index - 1) / 2) % present.length];
  const usable = filters.filter((filter) => protocol?.takes?.(filter) !== false);
  const mine = Array.from(
    { length: 1 + (index % 3) },
    (_, k) => usable[(index + k * 7) % usable.length] as string,
  );
  if (protocol === undefined) return new Listener(fleet.door('edge-sse').address, token, mine);
  const door = protocol.service === 'publish' ? fleet.grpc : fleet.door(protocol.service as EdgeService);
  return new ProtocolListener(protocol, door.address, token, mine);
}

export const identity = ({ run, publisher, number }: Load): string => `${run} ${publisher}-${number}`;

async function connected(clients: readonly Client[]): Promise<void> {
  const all = () => clients.every(({ open }) => open);
  await until(all, 'every client to be connected', 30_000).catch((cause) => {
    const away = clients.filter(({ open }) => !open);
    const told = away.map(({ name, troubles }) => `${name} ${troubles.join('; ')}`);
    throw new Error(`${away.length} of ${clients.length} clients are not connected: ${told}`, { cause });
  });
}

/** What does not arrive, although it is waited for. */
async function missing(clients: readonly Client[], acknowledged: readonly Load[]): Promise<string[]> {
  const debts = clients.map((client) => new Debt(client, acknowledged));
  const complete = () => debts.filter((debt) => debt.isPaid()).length === debts.length;
  await until(complete, 'every acknowledged publication to arrive', patienceMs).catch(() => {});
  return debts.flatMap((debt) => debt.left);
}

/** What a client is owed; counted on from where it was, since the clients share the process with whoever counts. */
class Debt {
  readonly #client: Client;
  readonly #owed = new Map<string, Load>();
  #heard = 0;

  constructor(client: Client, acknowledged: readonly Load[]) {
    this.#client = client;
    const matching = new Set(
      topics.filter((topic) =>
        client.filters.some((filter) => matches(filter as TopicFilter, topic as Topic)),
      ),
    );
    for (const load of acknowledged) if (matching.has(load.topic)) this.#owed.set(identity(load), load);
  }

  isPaid(): boolean {
    const { received } = this.#client;
    for (; this.#heard < received.length; this.#heard++)
      this.#owed.delete(identity(received[this.#heard] as Load));
    return this.#owed.size === 0;
  }

  get left(): string[] {
    const { name, filters } = this.#client;
    return Array.from(this.#owed.values(), (load) => {
      return `${identity(load)} on ${load.topic} for ${name} on ${filters.join(' ')}`;
    });
  }
}

/** What came behind later ones of its topic and publisher, where order was promised. */
export function disordered({ name, filters, received, unordered }: Client, run: string): string[] {
  if (unordered) return [];
  const newest = new Map<string, number>();
  return firstOf(received, run).flatMap((load) => {
    const lane = `${load.publisher} ${load.topic}`;
    const last = newest.get(lane) ?? 0;
    newest.set(lane, Math.max(last, load.number));
    if (load.number > last) return [];
    return [`${name} on ${filters.join(' ')}: ${identity(load)} on ${load.topic} came behind ${last}`];
  });
}

/** How often a client was given what it had been given before. */
export const again = ({ received }: Client, run: string): number =>
  received.filter((load) => load.run === run).length - firstOf(received, run).length;

/** Each once: a duplicate has the id of the first. */
function firstOf(received: readonly Load[], run: string): Load[] {
  // A resume goes back for ten seconds around a change of leader, which may be into the trial before.
  const ours = received.filter((load) => load.run === run);
  return [...new Map(ours.map((load) => [identity(load), load])).values()];
}
