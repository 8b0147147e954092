import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { createMemoryBackbone } from '@pushfleet/bus';
import { allToken, HandClient, startBayeux } from './testing.ts';

/** An instance whose reads of records are counted, and a client of another instance's. */
async function start(t: Parameters<typeof startBayeux>[0]) {
  const first = await startBayeux(t);
  const backbone = createMemoryBackbone({
    log: (first.backbone as ReturnType<typeof createMemoryBackbone>).log,
  });
  let reads = 0;
  const ledger = backbone.ledger.bind(backbone);
  backbone.ledger = (name) => {
    const real = ledger(name);
    const get = real.get.bind(real);
    real.get = (key) => {
      reads++;
      return get(key);
    };
    return real;
  };
  const { url } = await startBayeux(t, { beside: first, backbone });
  const client = new HandClient(first.url, {});
  await client.handshake({ ext: { pushfleet: { token: allToken() } } });
  const count = (): number => {
    const before = reads;
    reads = 0;
    return before;
  };
  return { url, clientId: client.clientId, count };
}

const madeUp = (): string => randomBytes(20).toString('hex');
const kinds = [
  { channel: '/a', data: 1 },
  { channel: '/meta/subscribe', subscription: '/a' },
  { channel: '/meta/unsubscribe', subscription: '/a' },
  { channel: '/meta/disconnect' },
  { channel: '/service/presence', data: { action: 'list', channel: '/a' } },
  { channel: '/meta/connect', connectionType: 'long-polling' },
];

test('an id that no handshake gave is unknown without a look at the log', async (t) => {
  const { url, count } = await start(t);
  const stranger = new HandClient(url, {});
  for (const clientId of ['nobody', madeUp().toUpperCase(), madeUp().slice(1)]) {
    for (const kind of kinds) {
      const [answer] = await stranger.post([{ ...kind, clientId }]);
      assert.match(answer?.error ?? '', /^402:/);
    }
  }
  assert.equal(count(), 0);
});

test('an id without a session costs one look, whatever a request asks for it', async (t) => {
  const { url, count } = await start(t);
  const stranger = new HandClient(url, {});
  const clientId = madeUp();
  const answers = await stranger.post([...kinds, ...kinds, ...kinds].map((kind) => ({ ...kind, clientId })));
  assert.ok(answers.every(({ error = '' }) => /^40[24]:/.test(error)));
  assert.equal(count(), 1);
  await stranger.post(kinds.map((kind) => ({ ...kind, clientId })));
  assert.equal(count(), 0);
});

test('a session elsewhere is looked at once in a request of publications', async (t) => {
  const { url, clientId, count } = await start(t);
  const publish = { channel: '/a', clientId, data: 1 };
  const nothing = { channel: '/service/nothing', clientId, data: 1 };
  const answers = await new HandClient(url, {}).post([publish, publish, nothing, publish]);
  assert.deepEqual(
    answers.map(({ successful }) => successful),
    [true, true, false, true],
  );
  assert.equal(count(), 1);
});

test('a request of two clients is refused, and one of a client and nobody is not', async (t) => {
  const { url, clientId, count } = await start(t);
  const client = new HandClient(url);
  const publish = { channel: '/a', data: 1 };
  const mixed = await client.post([publish, { ...publish, clientId }]);
  assert.ok(mixed.every(({ successful }) => successful));
  assert.equal(count(), 1);
  for (const kind of kinds) {
    const answers = await client.post([
      { ...publish, clientId },
      { ...kind, clientId: madeUp() },
    ]);
    assert.equal(answers.length, 2);
    const connects = kind.channel === '/meta/connect';
    assert.equal(answers[1]?.advice?.reconnect, connects ? 'none' : undefined);
    for (const { error, ext } of answers) {
      assert.match(error ?? '', /^400:/);
      assert.equal(ext?.pushfleet?.code, 'request_invalid');
    }
  }
  assert.equal(count(), 0);
});
