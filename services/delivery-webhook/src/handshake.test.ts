import assert from 'node:assert/strict';
import type { ServerResponse } from 'node:http';
import { after, describe, test } from 'node:test';
import { SubscriptionState, WebhookHandshake } from '@pushfleet/proto/pushfleet/registry/v1/subscriptions';
import { Webhook } from 'standardwebhooks';
import {
  courier,
  errand,
  handshake,
  hmacSecret,
  type Receiver,
  type Seen,
  secretText,
  startReceiver,
  webhook,
} from './testing.ts';

const origin = { PUSHFLEET_WEBHOOK_ORIGIN: 'Push.Example.com' };
const { courier: one, caller, changes } = courier({ env: origin });
const receivers: Receiver[] = [];
after(async () => {
  await caller.close();
  await Promise.all(receivers.map((receiver) => receiver.close()));
});

async function receiver(answer: (seen: Seen, response: ServerResponse) => void): Promise<Receiver> {
  const started = await startReceiver(answer);
  receivers.push(started);
  return started;
}
const ends = (status: number, headers: Record<string, string> = {}) =>
  receiver((_, response) => response.writeHead(status, headers).end());

describe('the handshake of REST Hooks', () => {
  const secret = hmacSecret();
  const shake = ({ url }: { url: string }) =>
    one.attempt(
      handshake(webhook({ url, secrets: [secret], handshake: WebhookHandshake.WEBHOOK_HANDSHAKE_ECHO })),
    );
  const echo = (status: number) =>
    receiver(({ headers }, response) =>
      response.writeHead(status, { 'X-Hook-Secret': String(headers['x-hook-secret']) }).end(),
    );

  test('is confirmed by the secret in the header of the answer, with 2xx', async () => {
    const to = await echo(204);
    assert.equal((await shake(to)).verdict, 'delivered');
    assert.equal((await shake(to)).verdict, 'delivered');
    const [first, second] = to.seen as [Seen, Seen];
    assert.deepEqual([first.method, first.body.length], ['POST', 0]);
    assert.match(String(first.headers['x-hook-secret']), /^[\w-]{32}$/);
    assert.notEqual(first.headers['x-hook-secret'], second.headers['x-hook-secret']);
    assert.equal(first.headers['pushfleet-subscription'], 'sub-1');
    new Webhook(secretText(secret)).verify('', first.headers as Record<string, string>);
  });

  test('does not keep the secret', async () => {
    const { response } = await shake(await echo(200));
    assert.equal('x-hook-secret' in (response?.headers ?? {}), false);
  });

  test('is refused by an answer without it or with another', async () => {
    const without = await shake(await ends(200));
    assert.deepEqual([without.verdict, without.status], ['rejected', 200]);
    assert.match(without.error ?? '', /answered 200 without X-Hook-Secret: to confirm/);
    const other = await shake(await ends(200, { 'x-hook-secret': 'guess' }));
    assert.equal(other.verdict, 'rejected');
    assert.match(other.error ?? '', /with another X-Hook-Secret/);
  });

  test('is refused by 3xx and 4xx, and asked again after what may pass', async () => {
    for (const status of [302, 400, 404, 405, 410]) {
      assert.equal((await shake(await echo(status))).verdict, 'rejected', String(status));
    }
    for (const status of [500, 503]) assert.equal((await shake(await echo(status))).verdict, 'failed');
    assert.equal((await shake(await echo(429))).verdict, 'throttled');
    assert.equal((await shake({ url: 'http://127.0.0.1:1/' })).verdict, 'failed');
  });

  test('is refused where the fleet’s own rules forbid the address', async () => {
    const { verdict, error } = await shake({ url: 'http://10.0.0.1/' });
    assert.equal(verdict, 'rejected');
    assert.ok(error);
  });
});

describe('the handshake of CloudEvents', () => {
  const target = (url: string, ratePerSecond = 0) =>
    webhook({ url, ratePerSecond, handshake: WebhookHandshake.WEBHOOK_HANDSHAKE_CLOUDEVENTS });
  const shake = async ({ url }: { url: string }, ratePerSecond = 0) =>
    one.attempt(handshake(target(url, ratePerSecond)));
  const allows = (origin: string, rate?: string, status = 200) =>
    ends(status, {
      'webhook-allowed-origin': origin,
      ...(rate !== undefined && { 'webhook-allowed-rate': rate }),
    });

  test('asks with the name of the fleet and the rate a minute', async () => {
    const to = await allows('*', '*');
    assert.equal((await shake(to, 7)).verdict, 'delivered');
    const [{ method, headers }] = to.seen as [Seen];
    assert.equal(method, 'OPTIONS');
    assert.equal(headers['webhook-request-origin'], 'push.example.com');
    assert.equal(headers['webhook-request-rate'], '420');
    assert.equal('webhook-request-callback' in headers, false);
  });

  test('every delivery then names who was permitted', async () => {
    const to = await ends(200);
    await one.attempt(errand(target(to.url)));
    assert.equal(to.seen[0]?.headers['webhook-request-origin'], 'push.example.com');
    await one.attempt(errand(webhook({ url: to.url })));
    assert.equal('webhook-request-origin' in (to.seen[1]?.headers ?? {}), false);
  });

  test('is granted by our name or *, and by the header alone', async () => {
    assert.equal((await shake(await allows('push.example.COM', '120'))).verdict, 'delivered');
    assert.equal((await shake(await allows('*'))).verdict, 'delivered');
    assert.equal((await shake(await allows('*', '*', 405))).verdict, 'delivered');
  });

  test('is refused by another name, by none, and by 4xx', async () => {
    const other = await shake(await allows('other.example.com', '*'));
    assert.equal(other.verdict, 'rejected');
    assert.match(other.error ?? '', /"other.example.com"; push.example.com or \* would/);
    assert.match((await shake(await ends(200))).error ?? '', /without WebHook-Allowed-Origin/);
    assert.equal((await shake(await ends(405))).verdict, 'rejected');
    assert.equal((await shake(await ends(503))).verdict, 'failed');
    for (const rate of ['0', '-1', '1.5', 'many', '']) {
      assert.equal((await shake(await allows('*', rate))).verdict, 'rejected', rate);
    }
  });

  test('a lower rate becomes the subscription’s own; a higher one changes nothing', async () => {
    const rates = async (perMinute: string, ratePerSecond = 0): Promise<number | undefined> => {
      changes.length = 0;
      assert.equal((await shake(await allows('*', perMinute), ratePerSecond)).verdict, 'delivered');
      const [change] = changes;
      if (change === undefined) return undefined;
      assert.deepEqual(change.fields, ['state', 'state_reason', 'webhook.rate_per_second']);
      const { target, state } = change.subscription;
      assert.equal(state, SubscriptionState.SUBSCRIPTION_STATE_ACTIVE);
      return target?.$case === 'webhook' ? target.webhook.ratePerSecond : undefined;
    };
    assert.equal(await rates('120', 3), 2);
    assert.equal(await rates('179', 3), 2);
    assert.equal(await rates('180', 3), undefined);
    assert.equal(await rates('600', 3), undefined);
    assert.equal(await rates('5940'), 99);
    assert.equal(await rates('6000'), undefined);
    // Less than one a second is one: the receiver answers 429 then, which is obeyed.
    assert.equal(await rates('10', 3), 1);
  });

  test('a rate that cannot be stored now is asked for again', async () => {
    const away = courier({ env: origin, registryAway: true });
    const { url } = await allows('*', '60');
    const { verdict, error } = await away.courier.attempt(handshake(target(url)));
    assert.equal(verdict, 'failed');
    assert.match(error ?? '', /agreed; its rate could not be noted: The registry is away/);
    await away.caller.close();
  });

  test('cannot be had by a fleet without a name', async () => {
    const nameless = courier();
    const { url, seen } = await allows('*', '*');
    const { verdict, error } = await nameless.courier.attempt(handshake(target(url)));
    assert.equal(verdict, 'rejected');
    assert.match(error ?? '', /PUSHFLEET_WEBHOOK_ORIGIN or PUSHFLEET_PUBLIC_URL/);
    assert.equal(seen.length, 0);
    await nameless.caller.close();
  });
});

test('where none is asked for, none is made', async () => {
  const to = await ends(500);
  const outcome = await one.attempt(handshake(webhook({ url: to.url })));
  assert.equal(outcome.verdict, 'delivered');
  assert.equal(to.seen.length, 0);
});
