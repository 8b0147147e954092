import { type Backbone, type Cursor, PushfleetError, parseCursor } from '@pushfleet/core';
import type { Attempt, Backlog, DeadLetter, DeliveryControl, Page } from '@pushfleet/delivery';
import type { Subscription } from '@pushfleet/proto/pushfleet/registry/v1/subscriptions';
import type { Grant } from '@pushfleet/runtime';
import { bodyCheck } from '../check-body.ts';
import { replay } from '../schema/delivery.ts';
import { refOf } from './consent.ts';
import { states, wordFor } from './names.ts';
import { placeAt } from './places.ts';
import type { Records } from './records.ts';
import { requireDelivery } from './rights.ts';

export interface DeliveriesOptions {
  readonly control: DeliveryControl;
  readonly backbone: Backbone;
  /** How long a caller waits for the receiver, in milliseconds. */
  readonly waitMs: number;
}

const checkReplay = bodyCheck<{ after?: string; since?: string; until?: string }>(replay);

/** What was delivered, and what is to be delivered again. Every method throws PushfleetError. */
export class Deliveries {
  readonly #o: DeliveriesOptions;
  readonly #records: Records;

  constructor(options: DeliveriesOptions, records: Records) {
    this.#o = options;
    this.#records = records;
  }

  backlog(of: Subscription): Promise<Backlog> {
    return this.#o.control.backlog(refOf(of));
  }

  /** Calls the receiver once; undefined where it is made later than the caller waits. */
  async test(grant: Grant, id: string): Promise<Attempt | undefined> {
    const subscription = await this.#deliverable(grant, id);
    if (subscription.state === states.pending) throw notYet(subscription);
    return this.#o.control.call(refOf(subscription), 'test', this.#o.waitMs);
  }

  async attempts(
    grant: Grant,
    id: string,
    before: string | undefined,
    limit: number,
  ): Promise<Page<Attempt>> {
    const subscription = await this.#records.find(grant, id);
    return this.#o.control.attempts(refOf(subscription), before, limit);
  }

  async deadLetters(
    grant: Grant,
    id: string,
    before: string | undefined,
    limit: number,
  ): Promise<Page<DeadLetter>> {
    const subscription = await this.#records.find(grant, id);
    return this.#o.control.deadLetters(refOf(subscription), before, limit);
  }

  /** @param letter undefined: all of them */
  async redeliver(grant: Grant, id: string, letter: string | undefined): Promise<void> {
    const subscription = await this.#started(grant, id);
    if (letter === undefined) return this.#o.control.redeliverAll(refOf(subscription));
    return this.#o.control.redeliver(refOf(subscription), letter);
  }

  async replay(grant: Grant, id: string, body: unknown): Promise<void> {
    const { after, since, until } = checkReplay(body);
    for (const cursor of [after, until]) if (cursor !== undefined) parseCursor(cursor);
    const subscription = await this.#started(grant, id);
    const head = await this.#o.backbone.bus(grant.namespace).head();
    const begin = after ?? placeAt(head, Math.max(0, Date.parse((since as string).toUpperCase())));
    await this.#o.control.replay(refOf(subscription), begin as Cursor, (until ?? head) as Cursor);
  }

  async #deliverable(grant: Grant, id: string): Promise<Subscription> {
    const subscription = await this.#records.find(grant, id);
    requireDelivery(grant, subscription);
    return subscription;
  }

  /** One that takes deliveries, at once or when it is resumed. */
  async #started(grant: Grant, id: string): Promise<Subscription> {
    const subscription = await this.#deliverable(grant, id);
    if (subscription.state === states.active || subscription.state === states.paused) return subscription;
    throw notYet(subscription);
  }
}

function notYet({ state }: Subscription): PushfleetError {
  const todo = state === states.suspended ? 'resume it first' : 'its receiver has to confirm it first';
  return new PushfleetError('conflict', `The subscription is ${wordFor(states, state)}; ${todo}.`);
}
