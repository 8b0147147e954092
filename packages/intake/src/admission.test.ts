import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { createMemoryBackbone } from '@pushfleet/bus';
import { limits, type Namespace, PushfleetError, Succession, type Topic } from '@pushfleet/core';
import { createLog, type Grant, type Quota, Quotas, RateLimit, type TopicPolicy } from '@pushfleet/runtime';
import { Admission } from './admission.ts';
import { Intake, type Submission } from './intake.ts';
import { Meters } from './meters.ts';
import { storedSize } from './stored-size.ts';

const log = createLog({ name: 'test', level: 'silent' });
const shop = 'shop' as Namespace;
const grant = { namespace: shop, subject: 'publisher', require: () => {} } as unknown as Grant;
const none = { connections: 0, subscriptions: 0, published: 0 };

/** An intake of a namespace with this quota; `policies` are by topic. */
function scene(policies: Readonly<Record<string, Partial<TopicPolicy>>>, quota: Quota = {}) {
  const state = { now: 0, policies, quota };
  const found = new Map<string, TopicPolicy>();
  const of = (_: Namespace, topic: Topic): TopicPolicy => {
    const filter = topic as never;
    const policy = found.get(topic) ?? { filter, history: true, presence: false, ...state.policies[topic] };
    found.set(topic, policy);
    return policy;
  };
  const backbone = createMemoryBackbone();
  const source = { of, quota: () => state.quota, limitsStorage: true };
  const now = () => state.now;
  const terms = () => ({ maxAgeMs: 86_400_000, maxBytes: 1e9, duplicateWindowMs: 300_000 });
  const meters = new Meters({
    ledger: backbone.ledger('meters'),
    policies: source,
    terms,
    instance: 'test',
    log,
  });
  const admission = new Admission({
    rate: new RateLimit({ perSecond: 1e6, burst: 1e6, now }),
    policies: source,
    quotas: new Quotas({ policies: source, elsewhere: () => none, now }),
    meters,
    terms,
    now,
  });
  const intake = new Intake({ backbone, admission, payloadBytes: limits.payloadBytes });
  /** How each of these was answered: `stored`, `duplicate`, or the code of the refusal. */
  const publish = async (...submissions: readonly Submission[]) =>
    (await intake.publish(grant, submissions)).map((answer) =>
      answer instanceof PushfleetError ? answer.code : answer.duplicate ? 'duplicate' : 'stored',
    );
  return { state, found, intake, publish, meters, backbone };
}

const on = (topic: string, bytes = 1, id?: string): Submission => ({
  topic,
  id,
  payload: Buffer.alloc(bytes),
});

describe('the size of a payload', () => {
  test('at the policy is stored, one byte more is refused and names the filter', async () => {
    const { intake, publish } = scene({ a: { maxBytes: 10 } });
    assert.deepEqual(await publish(on('a', 9), on('a', 10), on('a', 11), on('a', 1), on('b', 11)), [
      'stored',
      'stored',
      'payload_too_large',
      'stored',
      'stored',
    ]);
    const [answer] = await intake.publish(grant, [on('a', 11)]);
    assert.ok(answer instanceof PushfleetError);
    assert.deepEqual(answer.detail, { limit: 10, filter: 'a' });
    assert.match(answer.message, /11 bytes; the policy of "a" takes 10/);
  });
});

describe('the rate of a topic', () => {
  test('at the policy is stored, one more refused with the time to wait; other topics go on', async () => {
    const { intake, publish, state } = scene({ a: { rate: 2 } });
    assert.deepEqual(await publish(on('a'), on('a'), on('a'), on('b')), [
      'stored',
      'stored',
      'rate_limited',
      'stored',
    ]);
    const [answer] = await intake.publish(grant, [on('a')]);
    assert.ok(answer instanceof PushfleetError);
    assert.equal(answer.retryAfterMs, 500);
    state.now += 500;
    assert.deepEqual(await publish(on('a'), on('a')), ['stored', 'rate_limited']);
  });

  test('none behind a refused one overtakes it on its topic, though room comes back meanwhile', async () => {
    const { intake, state } = scene({ a: { rate: 1 } });
    const ids = ['1', '2', '3', '4'];
    // Time passes between the drafts of one request.
    const submissions = ids.map((id) => ({
      id,
      payload: Buffer.alloc(1),
      get topic() {
        state.now += id === '2' ? 0 : 1_000;
        return 'a';
      },
    }));
    const answers = await intake.publish(grant, submissions);
    assert.deepEqual(
      answers.map((answer) => answer instanceof PushfleetError),
      [false, true, true, true],
    );
  });

  test('none behind a refused one overtakes it in a later call of its succession', async () => {
    const { intake, state } = scene({ a: { rate: 1 } });
    const [stream, other] = [new Succession(), new Succession()];
    const publish = async (succession: Succession, ...submissions: readonly Submission[]) =>
      (await intake.publish(grant, submissions, succession)).map(
        (answer) => answer instanceof PushfleetError,
      );
    assert.deepEqual(await publish(stream, on('a'), on('a'), on('b')), [false, true, false]);
    state.now += 1_000;
    assert.deepEqual(await publish(stream, on('a'), on('b')), [true, false]);
    assert.deepEqual(await publish(other, on('a')), [false]);
  });

  test('of another policy begins anew', async () => {
    const { found, publish, state } = scene({ a: { rate: 1 } });
    assert.deepEqual(await publish(on('a'), on('a')), ['stored', 'rate_limited']);
    state.policies = { a: { rate: 2 } };
    found.clear();
    assert.deepEqual(await publish(on('a'), on('a'), on('a')), ['stored', 'stored', 'rate_limited']);
  });
});

describe('the publish rate of a namespace', () => {
  test('at the quota is stored; what follows in the request is refused with it, on every topic', async () => {
    const { publish, state } = scene({}, { publishRate: 3 });
    assert.deepEqual(await publish(on('a'), on('b'), on('a'), on('b'), on('c')), [
      'stored',
      'stored',
      'stored',
      'quota_publish_rate',
      'quota_publish_rate',
    ]);
    state.now += 334;
    assert.deepEqual(await publish(on('a'), on('b')), ['stored', 'quota_publish_rate']);
  });
});

describe('the stored bytes of a namespace', () => {
  const size = storedSize({
    id: '1',
    source: 'publisher',
    topic: 'a' as Topic,
    contentType: 'application/octet-stream',
    payload: Buffer.alloc(100),
  });

  test('at the quota are stored; a smaller one does not overtake the one that has no room', async () => {
    const { publish, meters } = scene({}, { storedBytes: 2 * size });
    const requests = await publish(on('a', 100, '1'), on('a', 101, '2'), on('a', 1, '3'), on('b', 1, '4'));
    assert.deepEqual(requests, ['stored', 'quota_stored_bytes', 'quota_stored_bytes', 'stored']);
    assert.equal(meters.stored(shop), 2 * size - 99);
  });

  test('count once however often a publication comes', async () => {
    const { publish, meters } = scene({}, { storedBytes: 3 * size });
    assert.deepEqual(await publish(on('a', 100, '1')), ['stored']);
    assert.deepEqual(await publish(on('a', 100, '1')), ['duplicate']);
    assert.equal(meters.stored(shop), size);
  });
});

describe('how long a publication is kept', () => {
  for (const [what, policy, keepMs] of [
    ['without a policy as long as anything', {}, undefined],
    ['as long as the policy says', { retentionMs: 60_000 }, 60_000],
    ['without history while its id is known', { history: false }, 300_000],
    [
      'without history as long as the policy says, if that is less',
      { history: false, retentionMs: 1_000 },
      1_000,
    ],
  ] as const) {
    test(what, async (t) => {
      const { backbone, publish } = scene({ a: policy });
      const stored = t.mock.method(backbone.bus(shop), 'publish');
      assert.deepEqual(await publish(on('a')), ['stored']);
      assert.equal(stored.mock.calls[0]?.arguments[0][0]?.keepMs, keepMs);
    });
  }
});
