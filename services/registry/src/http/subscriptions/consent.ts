import { randomBytes } from 'node:crypto';
import { PushfleetError, parseNamespace } from '@pushfleet/core';
import type { Attempt, DeliveryControl, SubscriptionRef } from '@pushfleet/delivery';
import type { Subscription } from '@pushfleet/proto/pushfleet/registry/v1/subscriptions';
import type { Subscriptions } from '../../subscriptions/store.ts';
import { webhookOf } from './json.ts';
import { states } from './names.ts';
import { isConflict } from './records.ts';

export interface ConsentOptions {
  readonly subscriptions: Subscriptions;
  readonly control: DeliveryControl;
  /** How long a caller waits for the receiver, in milliseconds. */
  readonly waitMs: number;
}

export const refOf = ({ namespace, id }: Subscription): SubscriptionRef => ({
  namespace: parseNamespace(namespace),
  id,
});

/** A question about a new address ends by itself behind the time for which its answer is waited for. */
const questionMs = 60_000;

/** Whether receivers want to be called: nothing is delivered to who has not said so. */
export class Consent {
  readonly #o: ConsentOptions;

  constructor(options: ConsentOptions) {
    this.#o = options;
  }

  /**
   * Asks the receiver of a new subscription; one that refuses ends it.
   *
   * @returns the record, active, or pending where there is no answer yet: a worker goes on asking
   * @throws PushfleetError `handshake_failed`, `unavailable`
   */
  async ofNew(pending: Subscription): Promise<Subscription> {
    const attempt = await this.#ask(pending);
    if (attempt?.verdict === 'delivered') return this.#activate(pending);
    if (attempt?.verdict !== 'rejected' && attempt?.verdict !== 'gone') return this.#read(pending);
    await this.#end(pending);
    throw refused(attempt);
  }

  /**
   * Asks the receiver at a new address, in the name of a subscription of its own to which nothing is published: what
   * becomes of it is no matter of the one that moves.
   *
   * @param moved the record as it would be, with its secrets
   * @returns the deliveries a second that it allows; 0: as many as the fleet makes
   * @throws PushfleetError `handshake_failed`, `unavailable`
   */
  async ofAddress(moved: Subscription): Promise<number> {
    const id = `move_${randomBytes(12).toString('base64url')}`;
    const question = await this.#o.subscriptions.create({
      ...moved,
      id,
      filter: `$hooks/${id}`,
      selection: undefined,
      state: states.pending,
      expiresAt: new Date(Date.now() + questionMs),
    });
    try {
      const attempt = await this.#ask(question);
      if (attempt?.verdict !== 'delivered') throw refused(attempt);
      return webhookOf(await this.#read(question)).ratePerSecond;
    } finally {
      await this.#end(question).catch(() => {}); // its lease ends it
    }
  }

  #ask(pending: Subscription): Promise<Attempt | undefined> {
    return this.#o.control.call(refOf(pending), 'handshake', this.#o.waitMs);
  }

  async #end(pending: Subscription): Promise<void> {
    const { namespace, id } = refOf(pending);
    await this.#o.subscriptions.delete(namespace, id, { reason: 'handshake_failed' });
    await this.#o.control.forget({ namespace, id });
  }

  /** The worker that had the receiver's word does the same: whoever is first. */
  async #activate(pending: Subscription): Promise<Subscription> {
    for (let held = await this.#read(pending); ; held = await this.#read(pending)) {
      if (held.state !== states.pending) return held;
      try {
        const active = { ...held, state: states.active, stateReason: '' };
        return await this.#o.subscriptions.update(active, ['state', 'state_reason']);
      } catch (error) {
        if (!isConflict(error)) throw error;
      }
    }
  }

  #read(of: Subscription): Promise<Subscription> {
    const { namespace, id } = refOf(of);
    return this.#o.subscriptions.get(namespace, id);
  }
}

function refused(attempt: Attempt | undefined): PushfleetError {
  const { error, status } = attempt ?? {};
  const why = error ?? (status === undefined ? 'it has not answered yet.' : `it answered ${status}.`);
  return new PushfleetError(
    'handshake_failed',
    `The receiver did not confirm that it wants to be called: ${why}`,
    status === undefined ? {} : { detail: { receiverStatus: status } },
  );
}
