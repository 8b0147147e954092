import { PushfleetError } from './error.ts';
import { limits } from './limits.ts';
import { meanings } from './status.ts';

/**
 * What one publisher sends, one draft behind the other, in one call or over many. Once a draft is refused that may be
 * sent again, so are those behind it on its topic, for as long as the succession lasts: the publisher may have sent them
 * before it heard of the refusal, and they would be stored before the one that it sends again.
 */
export class Succession {
  readonly #refused = new Map<string, PushfleetError>();
  /** Of every topic, once there are too many to be told apart. */
  #all: PushfleetError | undefined;

  /** @throws PushfleetError where one before it on its topic was refused */
  require(topic: string): void {
    const refusal = this.#all ?? this.#refused.get(topic);
    if (refusal !== undefined) throw refusal;
  }

  /** Takes note of a refusal: harmless where it is no news, or sending again would not help. */
  refused(topic: string, { code, message, retryAfterMs, detail }: PushfleetError): void {
    if (!meanings[code].retry || this.#all !== undefined || this.#refused.has(topic)) return;
    // No topic, and nothing that could ever be stored.
    if (topic.length > limits.topicBytes) return;
    const behind = new PushfleetError(
      code,
      `Nothing was stored, since one sent before it on its topic was refused and has to come first: ${message}`,
      { ...(retryAfterMs !== undefined && { retryAfterMs }), ...(detail !== undefined && { detail }) },
    );
    if (this.#refused.size < limits.batchDrafts) this.#refused.set(topic, behind);
    else this.#all = behind;
  }
}
