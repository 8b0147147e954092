import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Topic, TopicFilter } from '@pushfleet/core';
import type { PresentOn, Subscription } from './record.ts';
import { holdRoom, requireRoom, roomBytes } from './room.ts';
import { HandClient, type Received, startBayeux } from './testing.ts';

const session = () => ({
  subscriptions: new Map<string, Subscription>(),
  presences: new Map<string, PresentOn>(),
});

/** A member that takes so many bytes. */
function member(bytes: number): PresentOn {
  const of = (state: string): PresentOn => ({ topic: 'a' as Topic, entry: { state } });
  return of('x'.repeat(bytes - JSON.stringify(of('')).length - 1));
}

const full = { code: 'payload_too_large', detail: { limit: roomBytes } };

test('subscriptions and members have 512 KiB together', () => {
  const one = session();
  const filter = { channel: '/a', filter: 'a' as TopicFilter };
  one.subscriptions.set('/a', filter);
  const rest = roomBytes - JSON.stringify(filter).length - 1;
  for (const bytes of [rest - 1, rest]) requireRoom(one, member(bytes));
  assert.throws(() => requireRoom(one, member(rest + 1)), full);
  const most = member(rest);
  one.presences.set('', most);
  requireRoom(one, member(rest), most);
  assert.throws(() => requireRoom(one, member(rest + 1), most), full);
  assert.throws(() => requireRoom(one, filter), full);
});

test('what is on its way has its room', () => {
  const one = session();
  const giveBack = holdRoom(one, member(roomBytes / 2));
  const other = holdRoom(one, member(roomBytes / 2));
  assert.throws(() => holdRoom(one, member(100)), full);
  giveBack();
  holdRoom(one, member(100))();
  holdRoom(one, member(roomBytes / 2));
  other();
});

test('a session that is full takes nothing more, and still gives', async (t) => {
  const entered: string[] = [];
  const unused = async (): Promise<never> => assert.fail();
  const { url } = await startBayeux(t, {
    presence: {
      ...{ update: unused, list: unused, leave: async () => {}, leaveAll: () => {} },
      async enter({ subject }, topic, { id }) {
        entered.push(topic);
        const state = { state: new Uint8Array(), stateContentType: '' };
        return { subject, client: id, status: 'online', ...state, since: 0, changed: 0, revision: 1 };
      },
    },
  });
  const client = new HandClient(url);
  await client.handshake();
  const { clientId } = client;
  const ask = async (action: string, n: number): Promise<Received> => {
    const data = { action, channel: `/${n}`, ...(action === 'enter' && { state: 'x'.repeat(100_000) }) };
    const [answer] = await client.post([{ channel: '/service/presence', clientId, data }]);
    return answer as Received;
  };
  for (let n = 0; n < 5; n++) assert.equal((await ask('enter', n)).successful, true);
  const refused = await ask('enter', 5);
  assert.match(refused.error ?? '', /^413:/);
  assert.equal(refused.ext?.pushfleet?.limit, roomBytes);
  assert.deepEqual(entered, ['0', '1', '2', '3', '4']);
  // A control character is six in JSON.
  const long = (n: number): string => `/${'\u0001'.repeat(900)}${n}`;
  const subscribed = await client.subscribe([long(1), long(2), long(3)]);
  assert.equal(subscribed.ext?.pushfleet?.code, 'payload_too_large');
  assert.equal((await client.subscribe([long(1)])).successful, true, 'nothing of the three was kept');
  assert.equal((await ask('leave', 0)).successful, true);
  assert.equal((await client.subscribe([long(2), long(3)])).successful, true);
});
