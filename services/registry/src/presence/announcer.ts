import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  type Backbone,
  type Draft,
  encodePresenceChange,
  type Namespace,
  PushfleetError,
  presenceTopic,
} from '@pushfleet/core';
import type { Log, Policies } from '@pushfleet/runtime';
import type { Store } from '../redis.ts';
import { metaOf, prefixOf } from './keys.ts';
import { type Change, readChange } from './record.ts';
import { drainScript, yieldScript } from './scripts.ts';

export interface AnnouncerOptions {
  readonly store: Store;
  readonly backbone: Pick<Backbone, 'bus'>;
  readonly policies: Pick<Policies, 'of'>;
  readonly log: Log;
}

/** Changes that are published at a time: as many as the broker takes in one batch. */
const batchCount = 500;
/** Who publishes and says nothing for so long is dead, in milliseconds; it is asked between two batches. */
const lockMs = 5_000;
const closeMs = 1_000;
/** What a later attempt may mend. */
const passing: readonly string[] = [
  'unavailable',
  'timeout',
  'draining',
  'rate_limited',
  'storage_full',
  'quota_stored_bytes',
];

/**
 * Publishes the changes that wait in Redis, in the order in which they happened. One instance at a time does it for a
 * namespace. A change is taken off once the log has it; one that is published twice, because who published it was
 * killed before, has the same id, and the log stores it once.
 */
export class Announcer {
  readonly counts = { published: 0, duplicate: 0, dropped: 0 };
  readonly #options: AnnouncerOptions;
  /** Namespaces whose changes are published here at the moment, and whether more came meanwhile. */
  readonly #busy = new Map<Namespace, { again: boolean; readonly done: Promise<void> }>();
  #closed = false;

  constructor(options: AnnouncerOptions) {
    this.#options = options;
  }

  /** To be called when changes wait. */
  kick(namespace: Namespace): void {
    const busy = this.#busy.get(namespace);
    if (busy !== undefined) busy.again = true;
    else if (!this.#closed) this.#begin(namespace);
  }

  #begin(namespace: Namespace): void {
    const { promise: done, resolve } = Promise.withResolvers<void>();
    const busy = { again: false, done };
    this.#busy.set(namespace, busy);
    void this.#drain(namespace)
      .catch((error: unknown) =>
        this.#options.log.debug({ err: error, namespace }, 'changes of presence wait on'),
      )
      .then(() => {
        this.#busy.delete(namespace);
        resolve();
        if (busy.again) this.kick(namespace);
      });
  }

  /** Takes nothing new, and waits a moment for what is on its way; the rest is published by another instance. */
  async close(): Promise<void> {
    this.#closed = true;
    const done = Promise.all(Array.from(this.#busy.values(), (busy) => busy.done));
    await Promise.race([done, sleep(closeMs, undefined, { ref: false })]);
  }

  async #drain(namespace: Namespace): Promise<void> {
    const { store } = this.#options;
    const [token, prefix, meta] = [randomUUID(), prefixOf(namespace), metaOf(namespace)];
    for (let published = 0; ; ) {
      const asked = performance.now();
      const next = await store.run(drainScript, meta, prefix, token, published, batchCount, lockMs);
      // Another instance publishes, and goes on until nothing waits.
      if (next === null) return;
      const changes = (next as string[]).map(readChange);
      if (changes.length === 0) return;
      // Whoever was held up here for longer than that is no longer the one who publishes.
      published = performance.now() - asked > lockMs ? 0 : await this.#publish(namespace, changes);
      if (published === changes.length && !this.#closed) continue;
      if (published > 0) await store.run(drainScript, meta, prefix, token, published, batchCount, lockMs);
      await store.run(yieldScript, meta, prefix, token);
      return;
    }
  }

  /** Says how many the log has from the first on. */
  async #publish(namespace: Namespace, changes: readonly Change[]): Promise<number> {
    const { backbone, log } = this.#options;
    const answers = await backbone
      .bus(namespace)
      .publish(changes.map((change) => this.#draft(namespace, change)));
    for (const [index, answer] of answers.entries()) {
      if (!(answer instanceof PushfleetError)) {
        if (answer.duplicate) this.counts.duplicate++;
        else this.counts.published++;
      } else if (passing.includes(answer.code)) {
        log.warn(
          { namespace, code: answer.code, reason: answer.message },
          'a change of presence cannot be published yet',
        );
        return index;
      } else {
        this.counts.dropped++;
        log.error({ err: answer, namespace }, 'a change of presence cannot be published');
      }
    }
    return changes.length;
  }

  #draft(namespace: Namespace, { kind, topic, member }: Change): Draft {
    const place = presenceTopic(topic);
    const { retentionMs } = this.#options.policies.of(namespace, place);
    return {
      id: `presence-${member.revision}`,
      source: 'pushfleet',
      topic: place,
      type: 'pushfleet.presence',
      contentType: 'application/json',
      payload: Buffer.from(encodePresenceChange(kind, member)),
      ...(retentionMs !== undefined && { expiresAt: Date.now() + retentionMs }),
    };
  }
}
