import type { Cursor } from '@pushfleet/core';
import { type CloseReason, earlierOf, type Feed, type Hub } from '@pushfleet/hub';
import type { Deliveries } from '@pushfleet/runtime';
import { eventText, gapText } from './event.ts';
import type { Handover } from './handover.ts';
import type { Subscription } from './record.ts';
import { Unproven } from './unproven.ts';

export interface SupplyLimits {
  /** Most publications in one answer, and most bytes unless one alone has more. */
  readonly batchCount: number;
  readonly batchBytes: number;
  /** Most that a feed holds back. */
  readonly outbox: { readonly count: number; readonly bytes: number };
}

export interface SupplyOptions {
  readonly limits: SupplyLimits;
  readonly deliveries: Pick<Deliveries, 'writing'>;
  /** Counted up. */
  readonly written: { deliveries: number; bytes: number };
  /** The last batch that another instance has sent. */
  readonly batch: number;
  /** There is something to take. */
  onReadable(): void;
  /** There will be nothing more. */
  onClose(reason: CloseReason): void;
}

/**
 * What the client of a session is subscribed to, what of it was taken to be sent, and where in the log another instance
 * would go on: at one place for all subscriptions, so that they catch up together. One behind the other, the last would
 * hold the place back until the first has done, and with a session that moves on before that none would get on.
 */
export class Supply {
  readonly subscriptions = new Map<string, Subscription>();
  readonly #o: SupplyOptions;
  readonly #feed: Feed;
  readonly #unproven: Unproven;
  /** Where something is unproven: all before it has arrived, and what is asked of the past lies behind it. */
  #proven: Cursor | undefined;

  /** @throws PushfleetError `draining` or `too_many_connections` where the hub takes no more feeds */
  constructor(hub: Pick<Hub, 'open'>, options: SupplyOptions) {
    this.#o = options;
    this.#unproven = new Unproven(options.batch);
    this.#feed = hub.open({
      overflow: 'rewind',
      ...options.limits.outbox,
      onReadable: () => options.onReadable(),
      onClose: (reason) => options.onClose(reason),
    });
  }

  /** What was taken and is not known to have arrived. */
  get unproven(): Pick<Unproven, 'size' | 'bytes' | 'batch' | 'known' | 'seal' | 'texts'> {
    return this.#unproven;
  }

  /** Who resumes all subscriptions from here is given all that has not arrived. Undefined before the first one. */
  get place(): Cursor | undefined {
    if (this.#unproven.size > 0) return this.#proven;
    return this.subscriptions.size > 0 ? this.#feed.cursor : undefined;
  }

  /** @throws PushfleetError as `Feed.add`; all of them are to be removed then */
  async add(subscriptions: readonly Subscription[], after: Cursor | undefined): Promise<void> {
    if (subscriptions.length === 0) return;
    for (const one of subscriptions) this.subscriptions.set(one.channel, one);
    if (after !== undefined) this.#goBack(after);
    const filters = subscriptions.map(({ filter }) => filter);
    const retained = subscriptions.filter((one) => one.retained).map(({ filter }) => filter);
    await this.#feed.add(filters, {
      ...(after !== undefined && { after }),
      ...(retained.length > 0 && { retained }),
    });
  }

  /** The feed holds its places back from now on; those of what was taken before are held back here. */
  #goBack(after: Cursor): void {
    if (this.#proven !== undefined) this.#proven = earlierOf(this.#proven, after);
    this.#unproven.forget();
  }

  remove(channel: string): void {
    const one = this.subscriptions.get(channel);
    if (one === undefined) return;
    this.subscriptions.delete(channel);
    this.#feed.remove(one.filter);
  }

  /** The texts of what comes next, none for what Bayeux has no channel for; undefined where nothing comes. */
  take(): readonly string[] | undefined {
    const { deliveries, written, limits } = this.#o;
    const { batchCount, batchBytes } = limits;
    const unproven = this.#unproven;
    if (unproven.bytes >= batchBytes || unproven.size >= batchCount) return undefined;
    if (unproven.size === 0) this.#proven = this.#feed.cursor;
    const items = this.#feed.take(batchCount - unproven.size, batchBytes);
    if (items.length === 0) return undefined;
    const writing = deliveries.writing(items);
    const texts: string[] = [];
    for (const item of items) {
      const gap = item.kind === 'gap';
      const cursor = gap ? item.to : item.value.cursor;
      const text = gap ? gapText(item.from, item.to) : item.value.encoded(eventText);
      if (text === undefined) {
        if (!unproven.pass(cursor)) this.#proven = cursor;
        continue;
      }
      unproven.add(text, cursor);
      texts.push(text);
      written.deliveries++;
      written.bytes += text.length;
    }
    writing?.();
    return texts;
  }

  /** The batches up to this one have arrived. Whether another instance would go on differently by that. */
  prove(batch: number): boolean {
    const before = this.place;
    this.#proven = this.#unproven.prove(batch) ?? this.#proven;
    return this.#settleRetained() || this.place !== before;
  }

  /** Whether all retained publications have just turned out to have arrived. */
  #settleRetained(): boolean {
    if (this.#unproven.size > 0 || this.#feed.retaining) return false;
    const owed = this.#owed;
    for (const { channel, filter } of owed) this.subscriptions.set(channel, { channel, filter });
    return owed.length > 0;
  }

  /** Those whose retained publications have not all arrived. */
  get #owed(): readonly Subscription[] {
    return [...this.subscriptions.values()].filter(({ retained }) => retained);
  }

  /** Ends it, and tells where another instance goes on; `last` where the next connect may prove the last answer. */
  close(last: Pick<Handover, 'id'> | undefined): Handover {
    this.#settleRetained();
    const owed = this.#owed.map(({ channel }) => channel);
    const { batch, end: to } = this.#unproven;
    const handover = {
      ...{ cursor: this.place, owed, batch },
      ...(last && { id: last.id, to, owedTo: this.#feed.retaining ? owed : [] }),
    };
    this.#feed.close();
    return handover;
  }
}
