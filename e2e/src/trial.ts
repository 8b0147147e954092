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
  /** What goes wrong; called once a quarter of the publications is acknowledged. */
  readonly disturb: (fleet: S) => Promise<void>;
}

/**
 * Publishes under a disturbance to clients that resume by themselves, and checks what everybody was promised:
 * all that was acknowledged arrives, in order per topic and publisher, and nobody is refused for good.
 *
 * @returns what was acknowledged
 */
export async function trial<S extends Site>(fleet: S, o: TrialOptions<S>): Promise<readonly Load[]> {
  const all = await fleet.token({ publish: ['load/#'], subscribe: ['#'] });
  const listeners = Array.from({ length: o.clients }, (_, i) => listener(fleet, all, i));
  try {
    await connected(listeners);
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
    await o.disturb(fleet);
    for (const publisher of publishers) publisher.finish();
    await running;
    await arrived(listeners, acknowledged());
    for (const listener of listeners) assertPromises(listener, run);
    return acknowledged();
  } finally {
    for (const listener of listeners) listener.close();
  }
}

/** What the trial looks at, whichever client it is. */
type Client = Pick<Listener, 'name' | 'filters' | 'open' | 'close'> & {
  readonly received: readonly Load[];
  readonly troubles: readonly string[];
};

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

const identity = ({ run, publisher, number }: Load): string => `${run} ${publisher}-${number}`;

async function connected(listeners: readonly Client[]): Promise<void> {
  const all = () => listeners.every((listener) => listener.open);
  await until(all, 'every client to be connected', 30_000).catch((cause) => {
    const away = listeners.filter((listener) => !listener.open);
    const told = away.map(({ name, troubles }) => `${name} ${troubles.join('; ')}`);
    throw new Error(`${away.length} of ${listeners.length} clients are not connected: ${told}`, { cause });
  });
}

async function arrived(listeners: readonly Client[], acknowledged: readonly Load[]): Promise<void> {
  const debts = listeners.map((listener) => new Debt(listener, acknowledged));
  const complete = () => debts.filter((debt) => debt.isPaid()).length === debts.length;
  await until(complete, 'every acknowledged publication to arrive', 90_000).catch(() => {});
  const left = debts.flatMap((debt) => debt.left);
  assert.deepEqual(left.slice(0, 10), [], `${left.length} acknowledged publications did not arrive`);
}

/** What a client is owed; counted on from where it was, since the clients share the process with whoever counts. */
class Debt {
  readonly #client: Client;
  readonly #seen = new Set<string>();
  #heard = 0;
  #owed: Load[];

  constructor(client: Client, acknowledged: readonly Load[]) {
    this.#client = client;
    const matching = new Set(
      topics.filter((topic) =>
        client.filters.some((filter) => matches(filter as TopicFilter, topic as Topic)),
      ),
    );
    this.#owed = acknowledged.filter(({ topic }) => matching.has(topic));
  }

  isPaid(): boolean {
    const { received } = this.#client;
    for (; this.#heard < received.length; this.#heard++)
      this.#seen.add(identity(received[this.#heard] as Load));
    this.#owed = this.#owed.filter((load) => !this.#seen.has(identity(load)));
    return this.#owed.length === 0;
  }

  get left(): string[] {
    return this.#owed.map(
      (load) => `${identity(load)} on ${load.topic} for ${this.#client.filters.join(' ')}`,
    );
  }
}

function assertPromises(listener: Client, run: string): void {
  assert.deepEqual(listener.troubles, [], `trouble of the client on ${listener.filters.join(' ')}`);
  const newest = new Map<string, number>();
  const seen = new Set<string>();
  for (const load of listener.received) {
    // A resume goes back for ten seconds around a change of leader, which may be into the trial before.
    if (load.run !== run) continue;
    if (seen.has(identity(load))) continue; // at least once: a duplicate has the id of the first
    seen.add(identity(load));
    const lane = `${load.publisher} ${load.topic}`;
    const last = newest.get(lane) ?? 0;
    const told = `${listener.name} on ${listener.filters.join(' ')}`;
    assert.ok(load.number > last, `${told}: ${identity(load)} on ${load.topic} came behind ${last}`);
    newest.set(lane, load.number);
  }
}
