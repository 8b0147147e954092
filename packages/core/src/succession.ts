import { PushfleetError } from './error.ts';
import { limits } from './limits.ts';
import { meanings } from './status.ts';

/**
 * What one publisher sends, one draft behind the other, in one call or over many. Once a draft is refused that may be
 * sent again, so are those behind it on its topic, for as long as the succession lasts: the publisher may have sent them
 * before it heard of the refusal, and they would be stored before the one that it sends again.
 */
export class Succession {
  /** None for most: nothing is refused. */
  #refused: Map<string, PushfleetError> | undefined;
  /** Of every topic, once there are too many to be told apart. */
  #all: PushfleetError | undefined;
  readonly #before: Succession | undefined;

  /** @param before what this one goes on */
  constructor(before?: Succession) {
    this.#before = before;
  }

  /** @throws PushfleetError where one before it on its topic was refused */
  require(topic: string): void {
    this.#before?.require(topic);
    const refusal = this.#all ?? this.#refused?.get(topic);
    if (refusal !== undefined) throw refusal;
  }

  /** Takes note of a refusal: harmless where it is no news, or sending again would not help. */
  refused(topic: string, error: PushfleetError): void {
    if (!meanings[error.code].retry || this.#all !== undefined || this.#refused?.has(topic)) return;
    // No topic, and nothing that could ever be stored.
    if (topic.length > limits.topicBytes) return;
    this.#refused ??= new Map();
    if (this.#refused.size < limits.batchDrafts) {
      const why = 'one sent before it on its topic was refused, and has to come first';
      this.#refused.set(topic, behind(error, why));
      return;
    }
    this.#refused = undefined;
    this.#all = behind(error, `drafts on more than ${limits.batchDrafts} topics were refused before it`);
  }
}

function behind({ code, message, retryAfterMs, detail }: PushfleetError, why: string): PushfleetError {
  return new PushfleetError(
    code,
    `Nothing was stored, since ${why}: ${message} Send them again in their order, in another call or stream.`,
    { ...(retryAfterMs !== undefined && { retryAfterMs }), ...(detail !== undefined && { detail }) },
  );
}
