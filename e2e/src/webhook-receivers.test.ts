import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { until } from '@pushfleet/contract';
import { Webhook } from 'standardwebhooks';
import { behaviours, Receivers } from './webhook-receivers.ts';

const secret = `whsec_${Buffer.alloc(32, 7).toString('base64')}`;

let receivers: Receivers;
before(async () => {
  receivers = await Receivers.open();
});
after(() => receivers.close());

/** Posts as a signing sender would. */
async function deliver(url: string, body: string, o: { signedBody?: string; signal?: AbortSignal } = {}) {
  const now = new Date();
  return fetch(url, {
    method: 'POST',
    body,
    headers: {
      'webhook-id': 'msg_1',
      'webhook-timestamp': String(Math.floor(now.getTime() / 1000)),
      'webhook-signature': new Webhook(secret).sign('msg_1', now, o.signedBody ?? body),
    },
    signal: o.signal ?? null,
  });
}

test('a delivery is kept with its time, id, body, answer and whether its signature is good', async () => {
  const url = receivers.add('kept', behaviours.well);
  receivers.trust('kept', `whsec_${Buffer.alloc(32, 8).toString('base64')}`, secret);
  assert.equal((await deliver(url, 'hello')).status, 200);
  await deliver(url, 'hello', { signedBody: 'other' });
  const [good, bad] = receivers.of('kept');
  assert.deepEqual(
    { id: good?.id, body: good?.body, status: good?.status, signed: good?.signed },
    { id: 'msg_1', body: 'hello', status: 200, signed: true },
  );
  assert.ok((good?.answeredAt ?? 0) >= (good?.at ?? Number.POSITIVE_INFINITY));
  assert.equal(bad?.signed, false);
});

test('endpoints fail, throttle and are gone at the delivery that they were told', async () => {
  const statuses = async (url: string) => {
    const found: number[] = [];
    for (let i = 0; i < 4; i++) found.push((await deliver(url, 'x')).status);
    return found;
  };
  assert.deepEqual(await statuses(receivers.add('fails', behaviours.failsFor(2))), [500, 500, 200, 200]);
  assert.deepEqual(await statuses(receivers.add('asks', behaviours.throttlesEach(2))), [200, 429, 200, 429]);
  assert.deepEqual(await statuses(receivers.add('ends', behaviours.goneFrom(3))), [200, 200, 410, 410]);
  assert.deepEqual(await statuses(receivers.add('slow', behaviours.slow(5))), [200, 200, 200, 200]);
});

test('one that hangs has no answer until it is changed', async () => {
  const url = receivers.add('hangs', behaviours.hangs);
  const leaving = new AbortController();
  const waiting = deliver(url, 'x', { signal: leaving.signal });
  await until(() => receivers.of('hangs').length === 1, 'the request to arrive');
  leaving.abort();
  await assert.rejects(waiting, { name: 'AbortError' });
  receivers.change('hangs', behaviours.well);
  assert.equal((await deliver(url, 'x')).status, 200);
  assert.deepEqual(
    receivers.of('hangs').map(({ status }) => status),
    [undefined, 200],
  );
});

test('handshakes are answered and are no deliveries', async () => {
  const url = receivers.add('asked', behaviours.hangs);
  const echoed = await fetch(url, { method: 'POST', headers: { 'x-hook-secret': 'abc' } });
  assert.equal(echoed.headers.get('x-hook-secret'), 'abc');
  const origin = { 'webhook-request-origin': 'fleet.example' };
  const allowed = await fetch(url, { method: 'OPTIONS', headers: origin });
  assert.equal(allowed.headers.get('webhook-allowed-origin'), 'fleet.example');
  receivers.unwilling.add('asked');
  assert.equal((await fetch(url, { method: 'OPTIONS', headers: origin })).status, 403);
  assert.deepEqual(receivers.handshakes, ['asked', 'asked', 'asked']);
  assert.deepEqual(receivers.of('asked'), []);
});
