import assert from 'node:assert/strict';
import type { ServerResponse } from 'node:http';
import { after, describe, test } from 'node:test';
import type { Errand } from '@pushfleet/delivery';
import {
  NotifyForm,
  type NotifyTarget,
  SubscriptionState,
  WebhookFormat,
  WebhookHandshake,
  type WebhookTarget,
} from '@pushfleet/proto/pushfleet/registry/v1/subscriptions';
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
} from '../testing.ts';

const { courier: one, caller, changes } = courier();
const receivers: Receiver[] = [];
after(async () => {
  await caller.close();
  await Promise.all(receivers.map((receiver) => receiver.close()));
});

const gena = NotifyForm.NOTIFY_FORM_GENA;
const webdav = NotifyForm.NOTIFY_FORM_WEBDAV;

const notified = (url: string, notify: Partial<NotifyTarget> = {}, o: Partial<WebhookTarget> = {}) =>
  webhook({
    ...{ url, secrets: [], ordered: true, format: WebhookFormat.WEBHOOK_FORMAT_CLOUDEVENTS_BINARY },
    handshake: WebhookHandshake.WEBHOOK_HANDSHAKE_NOTIFY,
    notify: { callbacks: [], form: gena, ...notify },
    ...o,
  });

async function receiver(answer: (seen: Seen, response: ServerResponse) => void): Promise<Receiver> {
  const started = await startReceiver(answer);
  receivers.push(started);
  return started;
}
const ends = (status: number) => receiver((_, response) => response.writeHead(status).end());
const echoes = () =>
  receiver(({ headers }, response) =>
    response.writeHead(200, { 'x-hook-secret': String(headers['x-hook-secret']) }).end(),
  );
/** As UPnP control points are: they take what is of a subscription that they know. */
const knows = (sid: string) =>
  receiver(({ headers }, response) => response.writeHead(headers.sid === sid ? 200 : 412).end());

describe('a notification', () => {
  test('of GENA carries NT, NTS, SID and SEQ, and the publication as a webhook would', async () => {
    const to = await ends(200);
    const target = notified(to.url);
    for (const [id, place, attempt] of [
      ['a', 1, 1],
      ['a', 1, 2],
      ['b', 2, 1],
      ['a', 3, 1],
    ] as const) {
      assert.equal((await one.attempt(errand(target, { id, place, attempt }))).verdict, 'delivered');
    }
    const [{ method, headers, body }] = to.seen as [Seen];
    assert.deepEqual(
      [method, headers.nt, headers.nts, headers.sid, headers.seq],
      ['NOTIFY', 'upnp:event', 'upnp:propchange', 'uuid:sub-1', '1'],
    );
    assert.deepEqual(
      [headers['content-type'], headers['ce-id'], headers['webhook-id'], body.toString()],
      ['application/json', 'o-1', 'a', '{"coffee":1}'],
    );
    assert.equal(headers['webhook-signature'], undefined);
    assert.deepEqual(
      to.seen.map((seen) => seen.headers.seq),
      ['1', '1', '2', '3'],
      'a replay is another delivery, with the next number',
    );
  });

  test('of WebDAV carries Subscription-ID, and no number', async () => {
    const to = await ends(204);
    await one.attempt(errand(notified(to.url, { form: webdav })));
    const [{ method, headers }] = to.seen as [Seen];
    assert.deepEqual([method, headers['subscription-id'], headers.seq], ['NOTIFY', 'sub-1', undefined]);
  });

  test('is signed where its subscription has a secret, and not sent where none is in force', async () => {
    const to = await ends(200);
    const secret = hmacSecret();
    await one.attempt(errand(notified(to.url, {}, { secrets: [secret] })));
    const [{ headers, body }] = to.seen as [Seen];
    new Webhook(secretText(secret)).verify(body, headers as Record<string, string>);
    const expired = hmacSecret({ expiresAt: new Date(1) });
    const { verdict, error } = await one.attempt(errand(notified(to.url, {}, { secrets: [expired] })));
    assert.equal(verdict, 'failed');
    assert.match(error ?? '', /nothing is sent unsigned/);
    assert.equal(to.seen.length, 1);
  });

  for (const [status, verdict] of [
    [200, 'delivered'],
    [410, 'gone'],
    [412, 'gone'],
    [500, 'failed'],
    [503, 'failed'],
    [429, 'throttled'],
  ] as const) {
    test(`that is answered ${status} is ${verdict}`, async () => {
      const { url } = await ends(status);
      assert.equal((await one.attempt(errand(notified(url)))).verdict, verdict);
    });
  }
});

describe('the first notification', () => {
  const ask = (target: WebhookTarget, attempt = 1): Errand => ({ ...handshake(target), attempt });

  test('is number 0, without a publication, and a yes where X-Hook-Secret comes back', async () => {
    const to = await echoes();
    assert.equal((await one.attempt(ask(notified(to.url)))).verdict, 'delivered');
    const [{ headers, body, method }, ...more] = to.seen as [Seen];
    assert.deepEqual(
      [method, headers.nt, headers.nts, headers.sid, headers.seq, headers['content-type'], more.length],
      ['NOTIFY', 'upnp:event', 'upnp:propchange', 'uuid:sub-1', '0', 'text/xml; charset="utf-8"', 0],
    );
    assert.match(body.toString(), /<e:propertyset xmlns:e="urn:schemas-upnp-org:event-1-0"\/>/);
    assert.match(String(headers['x-hook-secret']), /^[\w-]{32}$/);
  });

  test('of WebDAV has no body', async () => {
    const to = await echoes();
    assert.equal((await one.attempt(ask(notified(to.url, { form: webdav })))).verdict, 'delivered');
    const [{ headers, body }] = to.seen as [Seen];
    assert.deepEqual([headers['subscription-id'], headers.nt, body.length], ['sub-1', undefined, 0]);
  });

  test('is a yes of who takes its own subscription and refuses another', async () => {
    const to = await knows('uuid:sub-1');
    assert.equal((await one.attempt(ask(notified(to.url)))).verdict, 'delivered');
    const [own, stranger] = to.seen as [Seen, Seen];
    assert.equal(own.headers.sid, 'uuid:sub-1');
    assert.match(String(stranger.headers.sid), /^uuid:[\da-f-]{36}$/);
    assert.equal(stranger.headers['x-hook-secret'], undefined);
    assert.doesNotMatch(JSON.stringify(stranger.headers), /sub-1/);
  });

  test('is a no of who takes anything, and of who sends another secret back', async () => {
    for (const headers of [{}, { 'x-hook-secret': 'another' }]) {
      const to = await receiver((_, response) => response.writeHead(200, headers).end());
      const { verdict, error } = await one.attempt(ask(notified(to.url)));
      assert.equal(verdict, 'gone');
      assert.match(error ?? '', /sends X-Hook-Secret back, or answers 412/);
    }
  });

  for (const status of [301, 400, 404, 405, 410, 501]) {
    test(`is a no with ${status}`, async () => {
      const { url } = await ends(status);
      assert.equal((await one.attempt(ask(notified(url)))).verdict, 'gone');
    });
  }

  for (const [status, verdict] of [
    [429, 'throttled'],
    [500, 'failed'],
    [503, 'failed'],
  ] as const) {
    test(`is asked again after ${status}`, async () => {
      const { url } = await ends(status);
      assert.equal((await one.attempt(ask(notified(url)))).verdict, verdict);
    });
  }

  test('may come before its receiver knows the subscription, once', async () => {
    const { url } = await ends(412);
    assert.equal((await one.attempt(ask(notified(url)))).verdict, 'failed');
    assert.equal((await one.attempt(ask(notified(url), 2))).verdict, 'gone');
  });

  test('is a no where the fleet’s rules forbid the call, and asked again where nobody is there', async () => {
    assert.equal((await one.attempt(ask(notified('http://10.0.0.1/')))).verdict, 'gone');
    assert.equal((await one.attempt(ask(notified('http://127.0.0.1:9/')))).verdict, 'failed');
  });
});

describe('of several call-backs', () => {
  test('the first that confirms is called from then on, and no other', async () => {
    const [silent, willing, spared] = [await ends(404), await echoes(), await echoes()];
    const target = notified(silent.url, { callbacks: [willing.url, spared.url] });
    const before = changes.length;
    assert.equal((await one.attempt(handshake(target))).verdict, 'delivered');
    assert.deepEqual([silent.seen.length, willing.seen.length, spared.seen.length], [1, 1, 0]);
    const { subscription, fields } = changes[before] as (typeof changes)[0];
    assert.deepEqual(fields, ['state', 'state_reason', 'webhook.url', 'webhook.notify']);
    assert.equal(subscription.state, SubscriptionState.SUBSCRIPTION_STATE_ACTIVE);
    const kept = subscription.target?.$case === 'webhook' ? subscription.target.webhook : undefined;
    assert.deepEqual([kept?.url, kept?.notify?.callbacks], [willing.url, []]);
  });

  test('one that may still confirm keeps the question open', async () => {
    const [never, later] = [await ends(404), await ends(503)];
    const target = notified(never.url, { callbacks: [later.url] });
    assert.equal((await one.attempt(handshake(target))).verdict, 'failed');
    const both = notified(never.url, { callbacks: [never.url] });
    assert.equal((await one.attempt(handshake(both))).verdict, 'gone');
  });

  test('what cannot be noted is asked again', async () => {
    const away = courier({ registryAway: true });
    const { url } = await echoes();
    const { verdict } = await away.courier.attempt(handshake(notified(url, { callbacks: [url] })));
    assert.equal(verdict, 'failed');
    await away.caller.close();
  });
});
