import type { PushfleetError } from './errors.ts';
import type { Message } from './message.ts';

export interface SubscribeOptions {
  /** The cursor of the last message that was dealt with: everything after it comes. Absent: from now on. */
  readonly after?: string | undefined;
  /** The retained publications of the topics come first, marked `retained`. */
  readonly retained?: boolean;
  /** Most messages held for a slow reader; `limits.buffer` where absent. */
  readonly buffer?: number;
}

/** Publications between the two cursors can no longer be given: they were deleted, expired, or the log lost them. */
export interface Gap {
  readonly from: string;
  readonly to: string;
}

export interface SubscriptionEvents {
  message: Message;
  gap: Gap;
  /** It has ended and will bring nothing more: a refusal, or the end of the whole client. */
  error: PushfleetError;
}

/**
 * What matches one filter, exactly once and in order per topic while the page lives.
 *
 * Read it with `for await`, or hand a function to `subscribe` or to `on('message')`: one or the other. A reader that is
 * slower than its messages fills the buffer; the subscription then leaves the connection, without disturbing others, and
 * comes back behind the last message it took once half of the buffer is free.
 */
export interface Subscription extends AsyncIterable<Message> {
  readonly filter: string;
  /** The cursor of the last message that the program was handed: what to store, to go on from there next time. */
  readonly cursor: string | undefined;
  /** Resolves once it stands: what is published from then on comes. Rejects where it is refused. */
  readonly ready: Promise<void>;
  /** @returns a function that takes the handler away */
  on<K extends keyof SubscriptionEvents>(event: K, handler: (value: SubscriptionEvents[K]) => void): () => void;
  /** Ends it: loops over it end, and nothing more comes. */
  close(): void;
}
