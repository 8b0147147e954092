import { PushfleetError, type Stored } from '@pushfleet/core';
import type { Budget, Intake } from '@pushfleet/intake';
import type { Grant, Requests, Traces } from '@pushfleet/runtime';
import type { Publish } from './client-message.ts';

export interface PublishingOptions {
  readonly intake: Pick<Intake, 'publish'>;
  /** Of publications that are not answered yet, over all connections. */
  readonly budget: Budget;
  readonly traces: Pick<Traces, 'request'>;
  readonly requests: Requests;
}

/** What clients publish, on its way into the log. */
export class Publishing {
  readonly #o: PublishingOptions;

  constructor(options: PublishingOptions) {
    this.#o = options;
  }

  /**
   * Resolves once it is stored. Publications of one topic are stored in the order of the calls.
   *
   * @throws PushfleetError as the intake refuses, or `unavailable` where too many bytes are unanswered
   */
  async publish(grant: Grant, { submission, trace }: Pick<Publish, 'submission' | 'trace'>): Promise<Stored> {
    const { budget, requests } = this.#o;
    const since = performance.now();
    const { length } = submission.payload;
    budget.hold(length);
    try {
      const stored = await this.#traced(grant, submission, trace);
      requests.ended(since);
      return stored;
    } catch (error) {
      requests.ended(since, error);
      throw error;
    } finally {
      budget.release(length);
    }
  }

  async #traced(grant: Grant, submission: Publish['submission'], trace: Publish['trace']): Promise<Stored> {
    const { intake, traces } = this.#o;
    const span = traces.request('publish', trace, {
      kind: 'server',
      attributes: {
        'messaging.system': 'pushfleet',
        'messaging.operation.name': 'publish',
        'messaging.operation.type': 'send',
        'messaging.destination.name': submission.topic,
        'messaging.message.body.size': submission.payload.length,
        'pushfleet.api': 'websocket',
      },
    });
    const carrying = span === undefined ? submission : { ...submission, trace: span.context };
    const [answer] = await intake.publish(grant, [carrying]);
    if (answer === undefined || answer instanceof PushfleetError) {
      span?.end(answer);
      throw answer;
    }
    span?.end();
    return answer;
  }
}
