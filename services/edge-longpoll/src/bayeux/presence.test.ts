import assert from 'node:assert/strict';
import { test } from 'node:test';
import { until } from '@pushfleet/contract';
import { type Member, PushfleetError } from '@pushfleet/core';
import type { Entry, Parting, PresenceClient } from '@pushfleet/edge';

import type { BayeuxOptions } from './mod.ts';
import { HandClient, type Received, startBayeux } from './testing.ts';

/** Presence as far as an edge uses it, of all instances together. */
function fakePresence() {
  const members = new Map<string, Member & { readonly by: string }>();
  const partings: [connection: string, how: Parting][] = [];
  const put = async (subject: string, topic: string, { id, connection }: PresenceClient, entry: Entry) => {
    const times = { since: 0, changed: 0, revision: 1 };
    const before = members.get(`${topic} ${id}`);
    const state = { state: Buffer.alloc(0), stateContentType: '' };
    const member = {
      status: 'online',
      ...state,
      ...before,
      ...entry,
      subject,
      client: id,
      ...times,
    } as const;
    members.set(`${topic} ${id}`, { ...member, by: connection });
    return member;
  };
  const presence: BayeuxOptions['presence'] = {
    enter: (grant, topic, client, entry) => put(grant.subject, topic, client, entry),
    update: async (grant, topic, client, entry) => {
      if (!members.has(`${topic} ${client.id}`)) throw new PushfleetError('not_found', 'Nobody is there.');
      return put(grant.subject, topic, client, entry);
    },
    leave: async (_grant, topic, { id }) => void members.delete(`${topic} ${id}`),
    list: async (grant, topic) => {
      grant.require('presence', topic);
      const all = [...members].filter(([key]) => key.startsWith(`${topic} `)).map(([, member]) => member);
      return { members: all, total: all.length };
    },
    leaveAll: (connection, how) => {
      partings.push([connection, how]);
      for (const [key, { by }] of members) if (by === connection) members.delete(key);
    },
  };
  return { presence, members, partings };
}

type Told = {
  readonly members: readonly { readonly client: string; readonly status: string; readonly state?: unknown }[];
};

async function ask(client: HandClient, data: object): Promise<readonly [Received, Told]> {
  const { clientId } = client;
  const [answer, told] = await client.post([{ channel: '/service/presence', clientId, data, id: 'p' }]);
  return [answer as Received, told?.data as Told];
}

test('a client enters, updates, lists and leaves over /service/presence', async (t) => {
  const { presence, partings } = fakePresence();
  const { url } = await startBayeux(t, { presence });
  const client = new HandClient(url);
  const { ext } = await client.handshake();
  const connection = ext?.pushfleet?.connection as string;
  const channel = '/room/1';
  const [entered, { members }] = await ask(client, { action: 'enter', channel, state: { x: 1 } });
  assert.deepEqual([entered.successful, entered.id], [true, 'p']);
  assert.deepEqual(
    members.map(({ client: name, status, state }) => [name, status, state]),
    [[connection, 'online', { x: 1 }]],
  );
  const [, updated] = await ask(client, { action: 'update', channel, status: 'away' });
  assert.equal(updated.members[0]?.status, 'away');
  const [, named] = await ask(client, { action: 'enter', channel, client: 'phone' });
  assert.equal(named.members[0]?.client, 'phone');
  const [, listed] = await ask(client, { action: 'list', channel });
  assert.equal(listed.members.length, 2);
  await ask(client, { action: 'leave', channel, client: 'phone' });
  assert.equal((await ask(client, { action: 'list', channel }))[1].members.length, 1);
  await client.post([{ channel: '/meta/disconnect', clientId: client.clientId }]);
  assert.deepEqual(partings, [[connection, 'left']]);
});

test('what is wrong is told', async (t) => {
  const { presence } = fakePresence();
  const { url } = await startBayeux(t, { presence });
  const client = new HandClient(url);
  await client.handshake();
  for (const [data, error] of [
    [{}, '400'],
    [{ action: 'enter' }, '400'],
    [{ action: 'sing', channel: '/a' }, '400'],
    [{ action: 'enter', channel: '/a', status: 'asleep' }, '400'],
    [{ action: 'enter', channel: '/a/*' }, '400'],
    [{ action: 'update', channel: '/a' }, '404'],
  ] as const) {
    assert.equal((await ask(client, data))[0].error?.slice(0, 3), error);
  }
});

test('members go on with their session at another instance', async (t) => {
  const { presence, members, partings } = fakePresence();
  const first = await startBayeux(t, { presence });
  const second = await startBayeux(t, { presence, beside: first });
  const client = new HandClient(first.url);
  await client.handshake();
  await ask(client, { action: 'enter', channel: '/room', client: 'me', status: 'busy' });
  const knows = () => second.fleet.instances().length === 2;
  await until(knows, 'they know each other');
  const there = new HandClient(second.url);
  there.clientId = client.clientId;
  await there.connect({ advice: { timeout: 0 } });
  await until(() => members.get('room me')?.status === 'busy', 'the member is back');
  assert.deepEqual(
    partings.map(([, how]) => how),
    ['lost'],
  );
});
