import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  Subscription,
  SubscriptionState,
  WebSubMode,
  WebSubRequest,
} from '@pushfleet/proto/pushfleet/registry/v1/subscriptions';
import fc from 'fast-check';
import { createConsent } from './consent.ts';
import { webSubOf } from './subscriber.ts';

const { SUBSCRIPTION_STATE_PENDING: pending, SUBSCRIPTION_STATE_ACTIVE: active } = SubscriptionState;
const { WEB_SUB_MODE_SUBSCRIBE: subscribe, WEB_SUB_MODE_UNSUBSCRIBE: unsubscribe } = WebSubMode;
const now = 1_000_000;
const consent = createConsent(60_000);

const request = (
  id: string,
  mode: WebSubMode = subscribe,
  more: Partial<WebSubRequest> = {},
): WebSubRequest =>
  WebSubRequest.fromPartial({
    ...{ id, mode, secret: Buffer.from(id), signatureMethod: 'sha256', leaseSeconds: 100 },
    ...more,
  });
const record = (requests: WebSubRequest[], state: SubscriptionState = pending): Subscription =>
  Subscription.fromPartial({
    ...{ namespace: 'ns', id: 'ws_1', filter: 'a', state, expiresAt: new Date(5) },
    target: { $case: 'websub', websub: { callback: 'http://a/', topicUrl: 'http://b/', requests } },
  });
const ids = (held: Subscription): string[] => webSubOf(held).requests.map(({ id }) => id);

/** The record as it is afterwards; undefined where it ended. */
function answered(held: Subscription, id: string, yes: boolean): Subscription | undefined {
  const consequence = yes ? consent.agreed(held, id, now) : consent.refused(held, id, now);
  return consequence === 'end' ? undefined : consequence.wanted;
}

describe('what a subscriber says to a request', () => {
  test('confirmed, it becomes the subscription, and takes those before it away', () => {
    const held = record([request('a'), request('b', subscribe, { leaseSeconds: 7 }), request('c')]);
    const { wanted, fields } = consent.agreed(held, 'b', now) as { wanted: Subscription; fields: string[] };
    assert.deepEqual(ids(wanted), ['c']);
    const { secret, leaseSeconds } = webSubOf(wanted);
    assert.deepEqual([String(secret), leaseSeconds, wanted.state], ['b', 7, active]);
    assert.equal(wanted.expiresAt?.getTime(), now + 7_000);
    assert.deepEqual(fields, ['state', 'state_reason', 'expires_at', 'websub']);
  });

  test('refused, nothing changes but that it is open no more', () => {
    const held = record([request('a'), request('b')], active);
    const after = answered(held, 'a', false) as Subscription;
    assert.deepEqual({ ...after, target: undefined }, { ...held, target: undefined });
    assert.deepEqual(ids(after), ['b']);
  });

  test('with nothing confirmed and nothing left to confirm, the record ends', () => {
    assert.equal(answered(record([request('a')]), 'a', false), undefined);
    assert.notEqual(answered(record([request('a')], active), 'a', false), undefined);
  });

  test('unsubscribed, it ends, unless something was asked for since', () => {
    assert.equal(answered(record([request('a', unsubscribe)], active), 'a', true), undefined);
    const after = answered(record([request('a', unsubscribe), request('b')], active), 'a', true);
    assert.deepEqual([after?.state, ids(after as Subscription)], [pending, ['b']]);
    assert.equal(after?.expiresAt?.getTime(), now + 60_000);
  });

  test('is not waited for where it has been answered, or the subscription is being denied', () => {
    const requests = [request('a')];
    assert.equal(consent.isOpen(record(requests), 'a'), true);
    assert.equal(consent.isOpen(record(requests), 'b'), false);
    assert.equal(
      consent.isOpen(record(requests, SubscriptionState.SUBSCRIPTION_STATE_SUSPENDED), 'a'),
      false,
    );
  });

  test('in whatever order answers come, the last request that is confirmed counts', () => {
    const answers = fc.array(fc.record({ yes: fc.boolean(), ends: fc.boolean() }), {
      minLength: 1,
      maxLength: 6,
    });
    const orders = answers.chain((all) =>
      fc.tuple(fc.constant(all), fc.shuffledSubarray([...all.keys()], { minLength: all.length })),
    );
    fc.assert(
      fc.property(orders, fc.boolean(), ([all, order], was) => {
        const mode = (i: number) => (all[i]?.ends ? unsubscribe : subscribe);
        let held: Subscription | undefined = record(
          all.map((_, i) => request(`r${i}`, mode(i))),
          was ? active : pending,
        );
        for (const i of order) {
          if (held === undefined || !consent.isOpen(held, `r${i}`)) continue;
          held = answered(held, `r${i}`, all[i]?.yes === true);
        }
        const last = all.findLastIndex(({ yes }) => yes);
        const lives = last < 0 ? was : !all[last]?.ends;
        assert.equal(held?.state === active, lives);
        assert.equal(held === undefined, !lives, 'nothing is left behind');
        if (last >= 0 && lives) assert.equal(String(webSubOf(held as Subscription).secret), `r${last}`);
      }),
      { numRuns: 2_000 },
    );
  });
});
