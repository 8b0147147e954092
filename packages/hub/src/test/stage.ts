// What the tests of this package share.
import { setImmediate as turn } from 'node:timers/promises';
import { createMemoryBackbone, type MemoryBackbone, type MemoryOptions } from '@pushfleet/bus';
import { SimulatedClock } from '@pushfleet/contract/simulation';
import {
  type Cursor,
  type Draft,
  defaultNamespace,
  type Item,
  parseCursor,
  parseTopic,
  parseTopicFilter,
  type TopicFilter,
} from '@pushfleet/core';
import type { CloseReason, Delivery, Feed, FeedOptions, HubOptions, Hubs } from '../mod.ts';
import { createHubs } from '../mod.ts';

export const filter = parseTopicFilter;

export function draft(topic: string, id: string, more: Partial<Draft> = {}): Draft {
  const payload = Buffer.from(id);
  return { id, source: 'test', topic: parseTopic(topic), contentType: 'text/plain', payload, ...more };
}

/** A feed with what happened to it. */
export interface Client {
  readonly feed: Feed;
  readonly reasons: CloseReason[];
  readable: number;
  /** Takes all there is; publications by their ids, retained ones marked, gaps as `gap`. */
  ids(): string[];
  items(): Item<Delivery>[];
}

/** A hub on a log in memory whose time the test moves. */
export class Stage {
  readonly clock: SimulatedClock;
  readonly backbone: MemoryBackbone;
  readonly hubs: Hubs;

  constructor(o: { clock?: SimulatedClock; hub?: Partial<HubOptions>; memory?: MemoryOptions } = {}) {
    this.clock = o.clock ?? new SimulatedClock();
    this.backbone = createMemoryBackbone({ clock: this.clock, ...o.memory });
    this.hubs = createHubs(this.backbone, { clock: this.clock, ...o.hub });
  }

  /** Lets everything that is under way happen. */
  async settle(ms = 10): Promise<void> {
    for (let i = 0; i < 6; i++) {
      await this.clock.advance(ms / 5);
      await turn();
    }
  }

  async publish(topic: string, id: string, more: Partial<Draft> = {}): Promise<Cursor> {
    const [stored] = await this.backbone.bus(defaultNamespace).publish([draft(topic, id, more)]);
    if (stored === undefined || stored instanceof Error) throw stored;
    return stored.cursor;
  }

  open(options: Partial<FeedOptions> = {}): Client {
    const reasons: CloseReason[] = [];
    const feed = this.hubs.of(defaultNamespace).open({
      overflow: 'close',
      count: 1_000,
      bytes: 1_000_000,
      onReadable: () => void client.readable++,
      onClose: (reason) => void reasons.push(reason),
      ...options,
    });
    const client: Client = {
      feed,
      reasons,
      readable: 0,
      items: () => [...feed.take(Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY)],
      ids: () => client.items().map(idOf),
    };
    return client;
  }

  async subscribe(
    filters: string | string[],
    o: { after?: Cursor; retained?: boolean | string[] } = {},
    options: Partial<FeedOptions> = {},
  ): Promise<Client> {
    const client = this.open(options);
    await this.add(client.feed, filters, o);
    return client;
  }

  async add(
    feed: Feed,
    filters: string | string[],
    o: { after?: Cursor; retained?: boolean | string[] } = {},
  ): Promise<void> {
    const parsed: TopicFilter[] = [filters].flat().map(filter);
    const { after, retained } = o;
    const some = Array.isArray(retained) ? retained.map(filter) : retained;
    const adding = feed.add(parsed, { ...(after && { after }), ...(some && { retained: some }) });
    adding.catch(() => {}); // the caller awaits it below
    await this.settle();
    await adding;
  }
}

export function idOf(item: Item<Delivery>): string {
  if (item.kind === 'gap') return 'gap';
  return item.value.retained ? `retained ${item.value.publication.id}` : item.value.publication.id;
}

/** The place behind an item. */
export const cursorOf = (item: Item<Delivery>): Cursor => (item.kind === 'gap' ? item.to : item.value.cursor);

/** For every shard the name of a topic that lies in it. */
export async function topicsByShard(shards: number): Promise<string[]> {
  const stage = new Stage({ memory: { shards } });
  const topics: string[] = [];
  for (const name of 'abcdefgh') {
    const { positions } = parseCursor(await stage.publish(name, name));
    topics[positions.findIndex((position) => position !== undefined)] = name;
  }
  return topics;
}
