import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type Namespace, PushfleetError } from '@pushfleet/core';
import type { Quota } from './policies.ts';
import { Quotas } from './quotas.ts';

const shop = 'shop' as Namespace;
const none = { connections: 0, subscriptions: 0, published: 0 };
const refused = (code: string, limit: number) => (error: unknown) =>
  error instanceof PushfleetError && error.code === code && error.detail?.limit === limit;

function scene(quota: Quota) {
  const state = { quota, elsewhere: none, now: 0 };
  const quotas = new Quotas({
    policies: { quota: () => state.quota },
    elsewhere: () => state.elsewhere,
    now: () => state.now,
  });
  return { quotas, state, used: () => new Map(quotas.usage()).get(shop) };
}

describe('connections', () => {
  test('below and at the quota are taken, above it refused, elsewhere counted with', () => {
    const { quotas, state } = scene({ connections: 3 });
    state.elsewhere = { ...none, connections: 1 };
    const leave = quotas.open(shop, 1);
    quotas.open(shop, 1);
    assert.throws(() => quotas.open(shop, 1), refused('quota_connections', 3));
    leave();
    leave();
    quotas.open(shop, 1);
    assert.throws(() => quotas.open(shop, 1), refused('quota_connections', 3));
    state.elsewhere = none;
    quotas.open(shop, 1);
  });

  test('a quota of none takes none', () => {
    const { quotas } = scene({ connections: 0 });
    assert.throws(() => quotas.open(shop, 1), refused('quota_connections', 0));
  });

  test('those that are open stay where the quota becomes smaller, and count where there was none', () => {
    const { quotas, state } = scene({});
    const leave = [quotas.open(shop, 1), quotas.open(shop, 1)];
    state.quota = { connections: 2 };
    assert.throws(() => quotas.open(shop, 1), refused('quota_connections', 2));
    state.quota = { connections: 1 };
    leave[0]?.();
    assert.throws(() => quotas.open(shop, 1), refused('quota_connections', 1));
    leave[1]?.();
    quotas.open(shop, 1);
  });
});

describe('subscriptions', () => {
  test('a connection that is open adds filters up to the quota, and gives them back', () => {
    const { quotas, state, used } = scene({ connections: 1, subscriptions: 3 });
    state.elsewhere = { ...none, connections: 5, subscriptions: 1 };
    quotas.subscribe(shop, 1);
    assert.equal(used(), undefined);
    state.elsewhere = { ...none, subscriptions: 1 };
    const leave = quotas.open(shop, 0);
    state.elsewhere = { ...none, connections: 5, subscriptions: 1 };
    quotas.subscribe(shop, 1);
    quotas.subscribe(shop, 1);
    assert.throws(() => quotas.subscribe(shop, 1), refused('quota_subscriptions', 3));
    assert.equal(used()?.subscriptions, 2);
    quotas.unsubscribe(shop, 1);
    quotas.subscribe(shop, 1);
    quotas.unsubscribe(shop, 2);
    leave();
    quotas.unsubscribe(shop, 1);
    assert.equal(used(), undefined);
  });

  test('are the filters of all connections; a refused one counts nothing', () => {
    const { quotas, state, used } = scene({ connections: 9, subscriptions: 10 });
    state.elsewhere = { ...none, subscriptions: 3 };
    const leave = quotas.open(shop, 5);
    assert.throws(() => quotas.open(shop, 3), refused('quota_subscriptions', 10));
    assert.deepEqual(used(), { connections: 1, subscriptions: 5, published: 0 });
    quotas.open(shop, 2);
    leave();
    assert.deepEqual(used(), { connections: 1, subscriptions: 2, published: 0 });
  });
});

describe('the publish rate', () => {
  test('is refused with the time to wait', () => {
    const { quotas, state } = scene({ publishRate: 2 });
    quotas.requireRate(shop);
    quotas.requireRate(shop);
    assert.throws(
      () => quotas.requireRate(shop),
      (error) => refused('quota_publish_rate', 2)(error) && (error as PushfleetError).retryAfterMs === 500,
    );
    state.now += 500;
    quotas.requireRate(shop);
  });

  test('of none is refused', () => {
    const { quotas } = scene({ publishRate: 0 });
    assert.throws(() => quotas.requireRate(shop), refused('quota_publish_rate', 0));
  });

  test('that nobody limits is not counted', () => {
    const { quotas, used } = scene({});
    for (let i = 0; i < 1_000; i++) quotas.requireRate(shop);
    assert.equal(used(), undefined);
  });
});

test('others are told what has a quota, and of a frenzy no more than the quota', () => {
  const { quotas, state, used } = scene({ publishRate: 5 });
  quotas.open(shop, 2);
  for (let i = 0; i < 100; i++) {
    try {
      quotas.requireRate(shop);
    } catch {
      // it is to be refused
    }
  }
  assert.deepEqual(used(), { connections: 0, subscriptions: 0, published: 5 });
  state.quota = { connections: 5 };
  assert.deepEqual(used(), { connections: 1, subscriptions: 0, published: 0 });
});
