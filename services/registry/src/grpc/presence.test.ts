import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { ServiceError } from '@grpc/grpc-js';
import { createMemoryBackbone } from '@pushfleet/bus';
import { type RedisServer, startRedis, until } from '@pushfleet/contract';
import type { PushfleetError } from '@pushfleet/core';
import { LeaseServiceClient } from '@pushfleet/proto/pushfleet/registry/v1/leases';
import {
  type ListPresenceResponse,
  type PresenceChange,
  PresenceChangeKind,
  type PresenceEntry,
  type PresenceKey,
  PresenceRefusal,
  PresenceServiceClient,
  PresenceStatus,
  type PutPresenceResponse,
  type WatchPresenceResponse,
} from '@pushfleet/proto/pushfleet/registry/v1/presence';
import { fromGrpc } from '@pushfleet/runtime';
import { newLease } from '../presence/testing.ts';
import { type Instance, startInstance } from '../testing.ts';

const keyOf = (topic: string, subject: string, clientId = 'c1', namespace = 'team-a'): PresenceKey => ({
  ...{ namespace, topic, subject, clientId },
});
const entryOf = (key: PresenceKey | undefined, rest: Partial<PresenceEntry> = {}): PresenceEntry => ({
  ...{ key, status: PresenceStatus.PRESENCE_STATUS_ONLINE, state: Buffer.alloc(0), stateContentType: '' },
  ...{ ttlSeconds: 0, enteredAt: undefined },
  ...rest,
});

function answer<T>(call: (done: (error: ServiceError | null, answer: T) => void) => unknown): Promise<T> {
  const { promise, resolve, reject } = Promise.withResolvers<T>();
  call((error, response) => (error === null ? resolve(response) : reject(fromGrpc(error))));
  return promise;
}

describe('presence over gRPC', () => {
  let redis: RedisServer;
  let registry: Instance;
  let presence: PresenceServiceClient;
  let leases: LeaseServiceClient;
  const lease = newLease();

  const put = (entries: PresenceEntry[], instanceId = lease): Promise<PutPresenceResponse> =>
    answer((done) => presence.putPresence({ instanceId, entries }, done));
  const leave = (keys: PresenceKey[], lingerSeconds = 0, instanceId = lease): Promise<unknown> =>
    answer((done) => presence.leavePresence({ instanceId, keys, lingerSeconds }, done));
  const list = (topic: string, rest: object = {}): Promise<ListPresenceResponse> =>
    answer((done) =>
      presence.listPresence(
        { namespace: 'team-a', topic, subject: '', pageSize: 0, pageToken: '', ...rest },
        done,
      ),
    );
  const watch = (filter: string) => {
    const messages: WatchPresenceResponse[] = [];
    const errors: PushfleetError[] = [];
    const call = presence.watchPresence({ namespace: 'team-a', filter });
    call.on('data', (message: WatchPresenceResponse) => messages.push(message));
    call.on('error', (error: ServiceError) => errors.push(fromGrpc(error)));
    return { messages, errors, call, changes: () => messages.flatMap(({ changes }) => changes) };
  };
  const told = (changes: readonly PresenceChange[]): string[] =>
    changes.map(({ kind, presence: of }) => `${kind} ${of?.key?.topic} ${of?.key?.subject} ${of?.status}`);

  before(async () => {
    redis = await startRedis();
    registry = await startInstance({
      redisUrl: redis.url,
      backbone: createMemoryBackbone(),
      env: { PUSHFLEET_PRESENCE_WATCHES: '2', PUSHFLEET_PRESENCE_NAMESPACE_MEMBERS: '1500' },
    });
    const { target, credentials, options } = registry.client();
    presence = new PresenceServiceClient(target, credentials, options);
    leases = new LeaseServiceClient(target, credentials, options);
    const held = leases.holdLease({ instanceId: lease, service: 'test', address: '' });
    held.on('error', () => {});
    await new Promise((resolve) => held.once('data', resolve));
  });
  after(async () => {
    presence.close();
    leases.close();
    await registry.close();
    await redis.stop();
  });

  it('gives back what it was given', async () => {
    const enteredAt = new Date(Date.now() - 60_000);
    const given = { state: Buffer.from([0, 255, 10]), stateContentType: 'application/x', ttlSeconds: 100 };
    const status = PresenceStatus.PRESENCE_STATUS_BUSY;
    const { presences, refused } = await put([entryOf(keyOf('a', 'alice'), { ...given, status, enteredAt })]);
    assert.deepEqual(refused, []);
    const { presences: found, total } = await list('a');
    assert.deepEqual(found, presences);
    const [one] = found;
    assert.deepEqual(
      [one?.key, one?.status, one?.stateContentType],
      [keyOf('a', 'alice'), status, 'application/x'],
    );
    assert.deepEqual(Buffer.from(one?.state ?? []), given.state);
    assert.deepEqual([one?.enteredAt, total], [enteredAt, 1n]);
    assert.ok((one?.expiresAt?.getTime() ?? 0) > Date.now() + 90_000);
    await leave([keyOf('a', 'alice')]);
  });

  it('takes at most 1,000 entries, pages of at most 1,000, and tells which were refused', async () => {
    const entries = Array.from({ length: 1_001 }, (_, n) => entryOf(keyOf('many', 'alice', `c${n}`)));
    await assert.rejects(put(entries), { code: 'request_invalid' });
    await put(entries.slice(0, 1_000));
    const { presences, refused } = await put(
      Array.from({ length: 600 }, (_, n) => entryOf(keyOf('more', 'alice', `c${n}`))),
    );
    assert.equal(refused.length, 100);
    assert.deepEqual(refused[0], {
      ...{ index: 500, reason: PresenceRefusal.PRESENCE_REFUSAL_NAMESPACE_FULL, limit: 1_500n },
    });
    assert.deepEqual(
      [presences.length, presences[499]?.key?.clientId, presences[500]?.key],
      [600, 'c499', undefined],
    );
    const sizes = await Promise.all(
      [0, 1, 1_000, 2_000].map(async (pageSize) => (await list('many', { pageSize })).presences.length),
    );
    assert.deepEqual(sizes, [100, 1, 1_000, 1_000]);
    await assert.rejects(leave(entries.map(({ key }) => key as PresenceKey)), { code: 'request_invalid' });
    await leave(entries.slice(0, 1_000).map(({ key }) => key as PresenceKey));
    await leave(Array.from({ length: 500 }, (_, n) => keyOf('more', 'alice', `c${n}`)));
    assert.equal((await list('more')).total, 0n);
  });

  const refusals: readonly (readonly [string, string, () => Promise<unknown>])[] = [
    ['an entry without a key', 'request_invalid', () => put([entryOf(undefined)])],
    [
      'no status',
      'request_invalid',
      () => put([entryOf(keyOf('a', 'b'), { status: PresenceStatus.PRESENCE_STATUS_UNSPECIFIED })]),
    ],
    [
      'offline',
      'request_invalid',
      () => put([entryOf(keyOf('a', 'b'), { status: PresenceStatus.PRESENCE_STATUS_OFFLINE })]),
    ],
    ['a filter', 'topic_invalid', () => put([entryOf(keyOf('a/#', 'b'))])],
    ["a topic of the fleet's own", 'topic_invalid', () => put([entryOf(keyOf('$a', 'b'))])],
    [
      'a topic too long for its changes',
      'topic_invalid',
      () => put([entryOf(keyOf('t'.repeat(1_015), 'b'))]),
    ],
    ['no subject', 'request_invalid', () => put([entryOf(keyOf('a', ''))])],
    ['a subject too long', 'request_invalid', () => put([entryOf(keyOf('a', 's'.repeat(1_025)))])],
    ['no client', 'request_invalid', () => put([entryOf(keyOf('a', 'b', ''))])],
    ['a client too long', 'request_invalid', () => put([entryOf(keyOf('a', 'b', 's'.repeat(1_025)))])],
    ['another namespace', 'forbidden', () => put([entryOf(keyOf('a', 'b', 'c', 'no namespace'))])],
    [
      'a large state',
      'payload_too_large',
      () => put([entryOf(keyOf('a', 'b'), { state: Buffer.alloc(4_097) })]),
    ],
    [
      'a long content type',
      'request_invalid',
      () => put([entryOf(keyOf('a', 'b'), { stateContentType: 'x'.repeat(257) })]),
    ],
    ['a long time to live', 'request_invalid', () => put([entryOf(keyOf('a', 'b'), { ttlSeconds: 86_401 })])],
    ['a long linger', 'request_invalid', () => leave([keyOf('a', 'b')], 3_601)],
    ['a bad instance id', 'request_invalid', () => put([entryOf(keyOf('a', 'b'))], 'short')],
    ['no lease', 'precondition_failed', () => put([entryOf(keyOf('a', 'b'))], newLease())],
    ['a list of a filter', 'topic_invalid', () => list('a/+')],
    ['a page that nobody gave', 'request_invalid', () => list('a', { pageToken: '!' })],
  ];
  for (const [what, code, ask] of refusals) {
    it(`refuses ${what}`, async () => {
      await assert.rejects(ask(), (error: PushfleetError) => error.code === code || assert.fail(error));
    });
  }

  it('takes what is just within the limits', async () => {
    const key = keyOf('t'.repeat(1_014), 's'.repeat(1_024), 'c'.repeat(1_024));
    const most = { state: Buffer.alloc(4_096), stateContentType: 'x'.repeat(256), ttlSeconds: 86_400 };
    assert.equal((await put([entryOf(key, most)])).refused.length, 0);
    await leave([key], 3_600);
    await put([entryOf(key)]);
    await leave([key]);
  });

  it('watches: who is there, then every change, on the topics of the filter', async () => {
    await put([entryOf(keyOf('w/1', 'alice')), entryOf(keyOf('w/2', 'bob')), entryOf(keyOf('x', 'carol'))]);
    const { messages, changes, call } = watch('w/+');
    await until(() => messages.some(({ snapshotComplete }) => snapshotComplete), 'the snapshot');
    const [entered, updated, left] = [
      PresenceChangeKind.PRESENCE_CHANGE_KIND_ENTERED,
      PresenceChangeKind.PRESENCE_CHANGE_KIND_UPDATED,
      PresenceChangeKind.PRESENCE_CHANGE_KIND_LEFT,
    ];
    assert.deepEqual(told(changes()), [`${entered} w/1 alice 1`, `${entered} w/2 bob 1`]);
    const state = { state: Buffer.from('hello'), stateContentType: 'text/plain' };
    await put([entryOf(keyOf('w/1', 'alice'), state), entryOf(keyOf('x', 'carol'), state)]);
    await leave([keyOf('w/1', 'alice'), keyOf('w/2', 'bob'), keyOf('x', 'carol')]);
    await until(() => changes().length === 5, 'the changes');
    const later = changes().slice(2);
    assert.deepEqual(told(later), [`${updated} w/1 alice 1`, `${left} w/1 alice 4`, `${left} w/2 bob 4`]);
    assert.equal(Buffer.from(later[0]?.presence?.state ?? []).toString(), 'hello');
    call.cancel();
    await until(() => registry.presence.watching.size === 0, 'the end of the watch');
  });

  it('has no more watches than it may', async () => {
    const three = [watch('a'), watch('b'), watch('c')];
    await until(() => three.some(({ errors }) => errors.length > 0), 'the refusal');
    assert.deepEqual(
      three.map(({ errors }) => errors[0]?.code),
      [undefined, undefined, 'rate_limited'],
    );
    for (const { call } of three) call.cancel();
    await until(() => registry.presence.watching.size === 0, 'the end of the watches');
    const again = watch('a');
    await until(() => again.messages.length > 0, 'room');
    again.call.cancel();
  });

  it('resumes a lease, and lets what hangs on it leave when it is given up', async () => {
    const mine = newLease();
    const hold = async () => {
      const call = leases.holdLease({ instanceId: mine, service: 'test', address: '' });
      const ended = new Promise<PushfleetError>((resolve) => {
        call.once('error', (error: ServiceError) => resolve(fromGrpc(error)));
      });
      const first = await new Promise<{ resumed: boolean }>((resolve) => call.once('data', resolve));
      return { call, ended, resumed: first.resumed };
    };
    const one = await hold();
    const two = await hold();
    assert.deepEqual([one.resumed, two.resumed], [false, true]);
    await put([entryOf(keyOf('l', 'alice'))], mine);
    await answer((done) => leases.endLease({ instanceId: mine }, done));
    await answer((done) => leases.endLease({ instanceId: mine }, done));
    assert.equal((await list('l')).total, 0n);
    await assert.rejects(put([entryOf(keyOf('l', 'alice'))], mine), { code: 'precondition_failed' });
    assert.deepEqual(
      (await Promise.all([one.ended, two.ended])).map(({ code }) => code),
      [...['precondition_failed', 'precondition_failed']],
    );
  });
});
