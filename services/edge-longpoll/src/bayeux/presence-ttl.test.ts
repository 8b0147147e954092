import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { Member, Namespace, Topic } from '@pushfleet/core';
import type { Entry } from '@pushfleet/edge';
import { createGrant } from '@pushfleet/runtime';
import { createMembers } from './presence.ts';
import { decodeRecord, encodeRecord, type PresentOn } from './record.ts';
import type { Session } from './session.ts';

/** The members of one session, at noon, and what presence was told. */
function start(t: TestContext) {
  t.mock.timers.enable({ apis: ['Date'], now: 43_200_000 });
  const told: [what: string, topic: string, ttlMs: number | undefined][] = [];
  const tell =
    (what: string) =>
    async (_grant: unknown, topic: string, _client: unknown, { ttlMs }: Entry): Promise<Member> => {
      told.push([what, topic, ttlMs]);
      return {} as Member;
    };
  const members = createMembers({
    presence: {
      ...{ enter: tell('enter'), update: tell('update'), leave: async () => {} },
      ...{ list: async () => ({ members: [], total: 0 }), leaveAll: () => {} },
    },
    encode: () => '{}',
    log: { warn: () => {} },
    store: async () => {},
  });
  const presences = new Map<string, PresentOn>();
  const session = { presences, subscriptions: new Map(), connection: 'c', grant: {} } as unknown as Session;
  const ask = (action: string, channel: string, more: object = {}): Promise<string> =>
    members.ask(session, { channel: '/service/presence', data: { action, channel, ...more } });
  const on = (): string[] => [...presences.values()].map(({ topic }) => topic);
  return { members, session, ask, on, told, tick: (ms: number) => t.mock.timers.tick(ms) };
}

test('a member whose time is over is forgotten', async (t) => {
  const { ask, on, tick } = start(t);
  await ask('enter', '/short', { ttl: 2 });
  await ask('enter', '/long');
  tick(1_999);
  await ask('enter', '/other', { ttl: 1 });
  assert.deepEqual(on(), ['short', 'long', 'other']);
  tick(1);
  await ask('enter', '/other', { ttl: 0 });
  assert.deepEqual(on(), ['long', 'other']);
  tick(86_400_000);
  await ask('enter', '/new');
  assert.deepEqual(on(), ['long', 'other', 'new'], 'a ttl of 0 is none');
});

test('an update begins the time anew, and needs a member', async (t) => {
  const { ask, on, told, tick } = start(t);
  await ask('enter', '/a', { ttl: 2 });
  tick(1_500);
  await ask('update', '/a', { status: 'away' });
  assert.deepEqual(told.at(-1), ['update', 'a', 2_000]);
  tick(1_500);
  await ask('update', '/a', { ttl: 1 });
  assert.deepEqual(on(), ['a']);
  tick(1_000);
  const message =
    'This connection is not present on "a" as client "c"; enter first, and give the same client as in enter.';
  await assert.rejects(ask('update', '/a'), { code: 'not_found', message });
  assert.deepEqual(on(), []);
});

test('whoever comes back with the session has the rest of the time', async (t) => {
  const { members, session, ask, on, told, tick } = start(t);
  await ask('enter', '/over', { ttl: 1 });
  await ask('enter', '/some', { ttl: 10 });
  await ask('enter', '/ever');
  tick(6_500);
  told.length = 0;
  members.comeBack(session);
  assert.deepEqual(told, [
    ['enter', 'some', 4_000],
    ['enter', 'ever', undefined],
  ]);
  assert.deepEqual(on(), ['some', 'ever']);
});

test('a record has only those who are there', (t) => {
  t.mock.timers.enable({ apis: ['Date'], now: 43_200_000 });
  const of = (topic: string, until?: number): PresentOn => ({
    ...{ topic: topic as Topic, entry: {} },
    ...(until !== undefined && { until }),
  });
  const presences = [of('over', 43_200_000), of('short', 43_200_001), of('long')];
  const facts = { subject: 's', namespace: 'n' as Namespace, expiresAt: 43_300_000, tokenDigest: 'd' };
  const grant = createGrant(facts, { publish: [], subscribe: [], presence: [], manage: [] });
  const value = encodeRecord({
    ...{ by: 'i', grant, connection: 'c', ack: false, batch: 0, subscriptions: [], presences },
  });
  assert.deepEqual(decodeRecord(value)?.presences, presences.slice(1));
});
