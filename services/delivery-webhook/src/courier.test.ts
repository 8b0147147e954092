import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, describe, test } from 'node:test';
import { WebhookFormat } from '@pushfleet/proto/pushfleet/registry/v1/subscriptions';
import type { CloudEvent } from 'cloudevents';
import { HTTP } from 'cloudevents';
import express from 'express';
import { Webhook } from 'standardwebhooks';
import { Webhook as SvixWebhook } from 'svix';
import {
  courier,
  errand,
  hmacSecret,
  publication,
  type Receiver,
  type Seen,
  secretText,
  startReceiver,
  webhook,
} from './testing.ts';

const { courier: one, caller } = courier();
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
const ends = (status: number, headers: Record<string, string> = {}, body = '') =>
  receiver((_, response) => response.writeHead(status, headers).end(body));

describe('a delivery', () => {
  const secret = hmacSecret();

  test('arrives at an Express application, which verifies it with others’ libraries', async () => {
    const taken: unknown[] = [];
    const app = express().post('/in', express.raw({ type: '*/*' }), (request, response) => {
      const text = (request.body as Buffer).toString();
      const headers = request.headers as Record<string, string>;
      taken.push(new Webhook(secretText(secret)).verify(text, headers));
      new SvixWebhook(secretText(secret)).verify(text, headers);
      taken.push(HTTP.toEvent({ headers: request.headers, body: text }));
      response.sendStatus(204);
    });
    const server = app.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/in`;
    const outcome = await one.attempt(errand(webhook({ url, secrets: [secret] })));
    server.close();
    assert.deepEqual([outcome.verdict, outcome.status, outcome.error], ['delivered', 204, undefined]);
    const [verified, event] = taken as [{ subject: string }, CloudEvent<unknown>];
    assert.equal(verified.subject, 'orders/1');
    assert.deepEqual([event.id, event.data], ['o-1', { coffee: 1 }]);
  });

  for (const [name, format] of [
    ['binary', WebhookFormat.WEBHOOK_FORMAT_CLOUDEVENTS_BINARY],
    ['verbatim', WebhookFormat.WEBHOOK_FORMAT_VERBATIM],
  ] as const) {
    test(`in ${name} form has the very bytes of the payload, signed`, async () => {
      const to = await ends(200);
      const payload = Buffer.from([0, 1, 0xff, 0x80]);
      const outcome = await one.attempt(
        errand(webhook({ url: to.url, format, secrets: [secret] }), {
          publication: publication({ payload, contentType: 'application/octet-stream' }),
        }),
      );
      assert.equal(outcome.verdict, 'delivered');
      const [{ headers, body, method }] = to.seen as [Seen];
      assert.deepEqual(
        [method, body, headers['content-type']],
        ['POST', payload, 'application/octet-stream'],
      );
      assert.match(String(headers['webhook-signature']), /^v1,/);
      assert.equal(headers['ce-subject'], name === 'binary' ? 'orders/1' : undefined);
    });
  }

  test('carries the same id at every attempt, and the attempt’s own number and time', async () => {
    const to = await ends(500);
    const target = webhook({ url: to.url, secrets: [secret] });
    await one.attempt(errand(target));
    await one.attempt(errand(target, { attempt: 2 }));
    const [first, second] = to.seen as [Seen, Seen];
    assert.equal(first.headers['webhook-id'], second.headers['webhook-id']);
    assert.equal(first.headers['pushfleet-attempt'], '1');
    assert.equal(second.headers['pushfleet-attempt'], '2');
  });

  test('is as long as allowed, and no longer: then it is a dead letter at once', async () => {
    const to = await ends(200);
    const target = webhook({ url: to.url, format: WebhookFormat.WEBHOOK_FORMAT_VERBATIM });
    const small = courier({ env: { PUSHFLEET_WEBHOOK_BODY_BYTES: '1024' } });
    const send = (bytes: number) =>
      small.courier.attempt(errand(target, { publication: publication({ payload: Buffer.alloc(bytes) }) }));
    assert.equal((await send(1_023)).verdict, 'delivered');
    assert.equal((await send(1_024)).verdict, 'delivered');
    const { verdict, error } = await send(1_025);
    assert.equal(verdict, 'rejected');
    assert.match(error ?? '', /1025 bytes; at most 1024/);
    assert.equal(to.seen.length, 2);
    await small.caller.close();
  });

  test('is not sent unsigned', async () => {
    const to = await ends(200);
    const expired = hmacSecret({ expiresAt: new Date(1) });
    const { verdict, error } = await one.attempt(errand(webhook({ url: to.url, secrets: [expired] })));
    assert.equal(verdict, 'failed');
    assert.match(error ?? '', /nothing is sent unsigned/);
    assert.equal(to.seen.length, 0);
  });
});

describe('what the receiver says', () => {
  test('is judged, and kept as far as it goes', async () => {
    const to = await ends(
      429,
      { 'retry-after': '90', 'set-cookie': 'a=b', 'x-reason': 'busy' },
      'later, please',
    );
    const { verdict, retryAfterMs, response, durationMs } = await one.attempt(
      errand(webhook({ url: to.url })),
    );
    assert.deepEqual([verdict, retryAfterMs], ['throttled', 90_000]);
    assert.equal(response?.body, 'later, please');
    assert.equal(response?.headers['x-reason'], 'busy');
    assert.equal('set-cookie' in (response?.headers ?? {}), false);
    assert.ok(Number.isInteger(durationMs) && durationMs >= 0);
  });

  test('with a redirect is not followed', async () => {
    const other = await ends(200);
    const to = await ends(302, { location: other.url });
    const { verdict, status } = await one.attempt(errand(webhook({ url: to.url })));
    assert.deepEqual([verdict, status], ['failed', 302]);
    assert.equal(other.seen.length, 0);
  });

  test('with 410 ends it', async () => {
    const { url } = await ends(410);
    assert.equal((await one.attempt(errand(webhook({ url })))).verdict, 'gone');
  });

  test('may take as long as the subscription says', async () => {
    const to = await receiver(() => {});
    const { verdict, status, error } = await one.attempt(errand(webhook({ url: to.url, timeoutMs: 200 })));
    assert.deepEqual([verdict, status], ['failed', undefined]);
    assert.ok(error);
  });

  test('takes no longer than the operator says', async () => {
    const to = await receiver(() => {});
    const hasty = courier({ env: { PUSHFLEET_WEBHOOK_TIMEOUT: '1' } });
    const { verdict } = await hasty.courier.attempt(errand(webhook({ url: to.url, timeoutMs: 120_000 })));
    assert.equal(verdict, 'failed');
    await hasty.caller.close();
  });
});

test('what the fleet’s rules forbid fails, and the owner is told why', async () => {
  for (const url of ['http://10.0.0.1/', 'https://user:pw@example.com/', 'ftp://example.com/']) {
    const { verdict, error } = await one.attempt(errand(webhook({ url })));
    assert.equal(verdict, 'failed', url);
    assert.ok(error && !error.includes('pw'), error);
  }
});

test('an errand that is none of webhooks’ is an outcome, not an exception', async () => {
  const odd = errand(webhook());
  const { verdict } = await one.attempt({ ...odd, subscription: { ...odd.subscription, target: undefined } });
  assert.equal(verdict, 'failed');
});
