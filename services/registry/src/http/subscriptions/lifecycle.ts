import { type Backbone, type Cursor, PushfleetError, parseCursor } from '@pushfleet/core';
import type { DeliveryControl, SubscriptionRef } from '@pushfleet/delivery';
import { type Subscription, WebhookHandshake } from '@pushfleet/proto/pushfleet/registry/v1/subscriptions';
import type { Grant } from '@pushfleet/runtime';
import { bodyCheck } from '../check-body.ts';
import { resumption, rotation, usualOverlap } from '../schema/subscription.ts';
import { activated, resumed, toState, withTarget } from './amendments.ts';
import { Consent, type ConsentOptions, refOf } from './consent.ts';
import { readDraft, type Settings } from './draft.ts';
import { webhookOf } from './json.ts';
import { newKey, type ShownKey, type Signing, showKey } from './keys.ts';
import { schemes, states, wordFor } from './names.ts';
import { placeAt } from './places.ts';
import { type IfMatch, isConflict, type Records } from './records.ts';
import { requireDelivery } from './rights.ts';
import { amend, readSettings } from './settings.ts';

export interface LifecycleOptions extends ConsentOptions {
  readonly backbone: Backbone;
  /** @throws PushfleetError `target_refused` */
  readonly checkUrl: (url: string) => void;
  /** Whether a subscription may begin without its receiver's word. */
  readonly unconfirmed: boolean;
}

/** A subscription with what its owner is shown once. */
export interface Shown {
  readonly subscription: Subscription;
  readonly key: ShownKey;
}

/** For so long a repeated creation is answered like the first, secret included, in milliseconds. */
const repeatableMs = 3_600_000;

const checkRotation = bodyCheck<{ overlap?: number; signing?: Signing; secret?: string }>(rotation);
const checkResumption = bodyCheck<{ from?: string }>(resumption);

/** Subscriptions from their creation to their end. Every method throws PushfleetError. */
export class Lifecycle {
  readonly #o: LifecycleOptions;
  readonly #records: Records;
  readonly #consent: Consent;
  readonly #control: DeliveryControl;

  constructor(options: LifecycleOptions, records: Records) {
    this.#o = options;
    this.#records = records;
    this.#consent = new Consent(options);
    this.#control = options.control;
  }

  /** @param key the request's Idempotency-Key: repeated with it, the creation answers the same */
  async create(grant: Grant, body: unknown, key: string | undefined): Promise<Shown> {
    const draft = readDraft(body, grant, key, Date.now());
    const { url, handshake, secrets } = webhookOf(draft);
    this.#o.checkUrl(url);
    if (handshake === WebhookHandshake.WEBHOOK_HANDSHAKE_NONE) this.#requireUnconfirmed();
    if (draft.id !== '') await this.#clean(refOf(draft));
    const created = await this.#o.subscriptions.create(draft).catch((error: unknown) => {
      if (key !== undefined && isConflict(error)) return undefined;
      throw error;
    });
    if (created === undefined) return this.#repeat(grant, draft);
    const subscription = created.state === states.pending ? await this.#consent.ofNew(created) : created;
    return { subscription, key: secrets[0] === undefined ? {} : showKey(secrets[0]) };
  }

  /**
   * One of this name may have ended by itself, its lease over or its receiver gone, while no worker had it in mind:
   * its attempts, dead letters and deliveries are nothing for whoever takes the name now.
   */
  async #clean({ namespace, id }: SubscriptionRef): Promise<void> {
    try {
      await this.#o.subscriptions.get(namespace, id);
    } catch (error) {
      if (!(error instanceof PushfleetError && error.code === 'not_found')) throw error;
      await this.#control.forget({ namespace, id });
    }
  }

  async #repeat(grant: Grant, draft: Subscription): Promise<Shown> {
    const held = await this.#records.find(grant, draft.id, true);
    if (held.filter !== draft.filter || webhookOf(held).url !== webhookOf(draft).url) {
      throw new PushfleetError(
        'conflict',
        'The Idempotency-Key was used for another subscription; use a new one.',
      );
    }
    const subscription = held.state === states.pending ? await this.#consent.ofNew(held) : held;
    const [newest] = webhookOf(held).secrets;
    const madeAt = held.createdAt?.getTime() ?? 0;
    // A secret that came by a rotation was shown to who rotated it.
    const first = newest !== undefined && (newest.createdAt?.getTime() ?? 0) <= madeAt;
    return { subscription, key: first && Date.now() - madeAt < repeatableMs ? showKey(newest) : {} };
  }

  /** A merge patch. A new address is asked for its consent first; without that nothing changes. */
  async change(grant: Grant, id: string, ifMatch: IfMatch, body: unknown): Promise<Subscription> {
    const settings = readSettings(body);
    const held = await this.#records.find(grant, id, settings.url !== undefined);
    requireDelivery(grant, held);
    if (settings.url !== undefined) this.#o.checkUrl(settings.url);
    const asked = moves(held, settings);
    const rate = asked && (await this.#consent.ofAddress(amend(held, settings, grant, Date.now()).wanted));
    const { after } = await this.#records.change(grant, id, ifMatch, (now) => {
      requireDelivery(grant, now);
      const amendment = amend(now, { ...settings, ...(rate && { rate }) }, grant, Date.now());
      return asked && now.state === states.pending ? activated(amendment) : amendment;
    });
    return after;
  }

  async pause(grant: Grant, id: string): Promise<Subscription> {
    const { after } = await this.#records.change(grant, id, undefined, (held) => {
      if (held.state === states.paused) return undefined;
      if (held.state === states.active) return toState(held, states.paused);
      throw new PushfleetError(
        'conflict',
        `The subscription is ${wordFor(states, held.state)}; only an active one is paused.`,
      );
    });
    return after;
  }

  /** Sets it going again, by the right of the token at hand where that is its owner's. */
  async resume(grant: Grant, id: string, body: unknown): Promise<Subscription> {
    const { from = 'suspension' } = checkResumption(body);
    if (from !== 'suspension' && from !== 'now') parseCursor(from);
    const head = await this.#head(grant);
    const { before, after } = await this.#records.change(grant, id, undefined, (held) => {
      requireDelivery(grant, held);
      if (held.state === states.active || held.state === states.pending) return undefined;
      return resumed(held, grant, head);
    });
    if (before.state === states.pending) return this.#consent.ofNew(before);
    if (before.state !== states.suspended || from === 'now') return after;
    const since = before.stateSince ?? new Date(0);
    const place = from === 'suspension' ? placeAt(head, since.getTime()) : (from as Cursor);
    await this.#control.replay(refOf(after), place, head).catch((error: unknown) => {
      throw notReplayed(error, since);
    });
    return after;
  }

  /** A new secret; the one it replaces signs beside it for a while. */
  async rotate(grant: Grant, id: string, body: unknown): Promise<Shown> {
    const { overlap = usualOverlap, signing, secret } = checkRotation(body);
    const now = Date.now();
    let key: ShownKey = {};
    const { after } = await this.#records.change(grant, id, undefined, (held) => {
      requireDelivery(grant, held);
      const [newest] = webhookOf(held).secrets;
      const made = newKey(
        signing ?? (newest === undefined ? 'hmac' : wordFor(schemes, newest.scheme)),
        secret,
        now,
      );
      key = showKey(made);
      const old =
        newest === undefined || overlap === 0
          ? []
          : [{ ...newest, expiresAt: new Date(now + overlap * 1_000) }];
      return withTarget(held, { secrets: [made, ...old] }, 'webhook.secrets');
    });
    return { subscription: after, key };
  }

  async end(grant: Grant, id: string, ifMatch: IfMatch): Promise<void> {
    await this.#records.end(grant, id, ifMatch);
    // It has ended whatever becomes of this: workers drop what is queued for it, and what is kept has an age.
    await this.#control.forget({ namespace: grant.namespace, id }).catch(() => {});
  }

  #head(grant: Grant): Promise<Cursor> {
    return this.#o.backbone.bus(grant.namespace).head();
  }

  #requireUnconfirmed(): void {
    if (this.#o.unconfirmed) return;
    throw new PushfleetError(
      'request_invalid',
      '"handshake": "none" is not allowed here: a receiver confirms that it wants to be called. The operator can allow it by PUSHFLEET_WEBHOOK_UNCONFIRMED.',
    );
  }
}

/** Whether another receiver is to be called, who has not confirmed anything. */
const moves = (held: Subscription, { url }: Settings): boolean => {
  const webhook = webhookOf(held);
  return (
    url !== undefined && url !== webhook.url && webhook.handshake !== WebhookHandshake.WEBHOOK_HANDSHAKE_NONE
  );
};

/** Resumed again it would be active already, and nothing would be replayed. */
function notReplayed(error: unknown, since: Date): PushfleetError {
  const { code, message, retryAfterMs } = PushfleetError.from(error);
  const todo = `The subscription is active again, but what it missed could not be asked for: ${message} Replay it with {"since": "${since.toISOString()}"}.`;
  return new PushfleetError(code, todo, {
    cause: error,
    ...(retryAfterMs !== undefined && { retryAfterMs }),
  });
}
