import type { ServerDuplexStream } from '@grpc/grpc-js';
import { PushfleetError, type Stored, Succession } from '@pushfleet/core';
import type { Budget } from '@pushfleet/intake';
import type * as proto from '@pushfleet/proto/pushfleet/publish/v1/publish';
import { type Grant, toGrpc } from '@pushfleet/runtime';
import type { Tracking } from '../tracking.ts';
import { fromProto, sizeOf, toResult } from './draft.ts';

type Call = ServerDuplexStream<proto.PublishStreamRequest, proto.PublishStreamResponse>;

export interface PublishStreamOptions {
  readonly tracking: Tracking;
  readonly budget: Budget;
  /** Most drafts, and their most bytes, unanswered before reading stops. */
  readonly drafts: number;
  readonly bytes: number;
}

/**
 * One PublishStream: drafts go to the intake in the order they come, answers go back as they settle. All of them are
 * one succession: a publisher sends on before it hears of a refusal, and order is promised. Nothing is read while too
 * much is unanswered or the publisher does not read its answers.
 */
export class PublishStream {
  readonly #call: Call;
  readonly #grant: Grant;
  readonly #options: PublishStreamOptions;
  readonly #succession = new Succession();
  #drafts = 0;
  #bytes = 0;
  #congested = false;
  #ended = false;
  #reason: PushfleetError | undefined;

  constructor(call: Call, grant: Grant, options: PublishStreamOptions) {
    this.#call = call;
    this.#grant = grant;
    this.#options = options;
    call.on('data', (request: proto.PublishStreamRequest) => void this.#accept(request));
    call.on('end', () => this.end());
    call.on('drain', () => {
      this.#congested = false;
      this.#regulate();
    });
  }

  /** Reads no further, answers what was read, then ends the call: well, or with the reason given. */
  end(reason?: PushfleetError): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#reason = reason;
    this.#call.pause();
    this.#finish();
  }

  async #accept({ correlation, draft }: proto.PublishStreamRequest): Promise<void> {
    if (this.#ended) return;
    const bytes = sizeOf(draft);
    this.#drafts++;
    this.#bytes += bytes;
    this.#regulate();
    const answer = await this.#store(draft, bytes);
    this.#drafts--;
    this.#bytes -= bytes;
    if (!this.#call.write({ correlation, result: toResult(answer) })) this.#congested = true;
    this.#regulate();
    this.#finish();
  }

  async #store(draft: proto.Draft | undefined, bytes: number): Promise<Stored | PushfleetError> {
    const { budget, tracking } = this.#options;
    // A draft of a stream has no metadata of its own.
    const tracked = tracking.begin('grpc-stream', { traceparent: draft?.traceparent || undefined });
    try {
      budget.hold(bytes);
    } catch (error) {
      const refusal = PushfleetError.from(error);
      this.#succession.refused(draft?.topic ?? '', refusal);
      tracked.end(refusal);
      return refusal;
    }
    const [answer] = await tracked.publish(this.#grant, [fromProto(draft)], this.#succession);
    budget.release(bytes);
    tracked.end(answer instanceof PushfleetError ? answer : undefined);
    return answer as Stored | PushfleetError;
  }

  #regulate(): void {
    const { drafts, bytes } = this.#options;
    const full = this.#drafts >= drafts || this.#bytes >= bytes || this.#congested;
    if (full || this.#ended) this.#call.pause();
    else if (this.#call.isPaused()) this.#call.resume();
  }

  #finish(): void {
    if (!this.#ended || this.#drafts > 0) return;
    if (this.#reason === undefined) this.#call.end();
    else this.#call.emit('error', toGrpc(this.#reason));
  }
}
