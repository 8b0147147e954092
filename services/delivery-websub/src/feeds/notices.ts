import type { Queue } from '@pushfleet/bus';
import { PushfleetError, quote } from '@pushfleet/core';
import { shortHash } from '@pushfleet/delivery';
import type { Policies } from '@pushfleet/runtime';

/** A feed that has to be fetched, as an entry of the queue `feeds`. */
export interface Due {
  readonly url: string;
  /** Attempts that have failed so far. */
  readonly attempts: number;
}

/** Slots of the queue that feeds are spread over: those of a slot are fetched by one instance at a time. */
export const feedSlots = 8;

export const encodeDue = (due: Due): Uint8Array => Buffer.from(JSON.stringify(due));
/** @throws SyntaxError or TypeError where the bytes are not of `encodeDue`'s making */
export function decodeDue(body: Uint8Array): Due {
  const { url, attempts } = JSON.parse(Buffer.from(body).toString()) as Due;
  return { url, attempts };
}

/**
 * Has a feed fetched at a time, Unix time in milliseconds. What waits already for a notice waits once, and so does what
 * waits for a retry: many notices are one fetch, and none waits as long as a retry does. Settles once that is on record.
 */
export function fetchAt(queue: Pick<Queue, 'later'>, due: Due, at: number): Promise<void> {
  const key = `${keyOf(due.url)}/${due.attempts === 0 ? 'notice' : 'retry'}`;
  return queue.later([{ slot: slotOf(due.url), key, at, body: encodeDue(due) }]);
}

/** No level of a URL has a meaning in the queue. */
const keyOf = (url: string): string => shortHash(url);

/** Which slot a feed is of. Any of the 22 characters of a hash is as good. */
export const slotOf = (url: string): number => keyOf(url).charCodeAt(0) % feedSlots;

/** Takes publishers' word that there is something new. */
export class Notices {
  readonly #queue: Pick<Queue, 'later'>;
  readonly #policies: Pick<Policies, 'feedAt'>;

  /** @param queue `feeds` */
  constructor(queue: Pick<Queue, 'later'>, policies: Pick<Policies, 'feedAt'>) {
    this.#queue = queue;
    this.#policies = policies;
  }

  /**
   * Settles once it is on record that these are to be fetched; none is where one is refused.
   *
   * @throws PushfleetError `forbidden`, `unavailable`, `storage_full`
   */
  async take(urls: readonly string[]): Promise<void> {
    const strange = urls.find((url) => this.#policies.feedAt(url) === undefined);
    if (strange !== undefined) throw noFeed(strange);
    await Promise.all(urls.map((url) => fetchAt(this.#queue, { url, attempts: 0 }, Date.now())));
  }
}

const noFeed = (url: string): PushfleetError =>
  new PushfleetError(
    'forbidden',
    `${quote(withoutPassword(url))} is no feed of this hub, which fetches only what its operator has declared. What is published to a topic of the fleet reaches its subscribers by itself.`,
  );

/** RFC 3986 section 3.2.1: applications should not render it as clear text. */
const withoutPassword = (url: string): string => url.replace(/\/\/[^/]*@/, '//');
