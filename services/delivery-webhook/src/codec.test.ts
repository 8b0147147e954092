import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { encodeCloudEvent, type Publication, parseTopic } from '@pushfleet/core';
import { WebhookFormat } from '@pushfleet/proto/pushfleet/registry/v1/subscriptions';
import { type CloudEvent, HTTP } from 'cloudevents';
import { Webhook } from 'standardwebhooks';
import { contentOf, headersOf } from './codec.ts';
import { cursor, hmacSecret, publication, secretText, webhook } from './testing.ts';

const {
  WEBHOOK_FORMAT_CLOUDEVENTS_BINARY: binary,
  WEBHOOK_FORMAT_CLOUDEVENTS_STRUCTURED: structured,
  WEBHOOK_FORMAT_VERBATIM: verbatim,
} = WebhookFormat;
const of = (format: WebhookFormat, o: Partial<Publication> = {}) => contentOf(publication(o), cursor, format);
const common = { 'pushfleet-topic': 'orders/1', 'pushfleet-cursor': 'g-10-1z' };
const euros = { topic: parseTopic('Preise/€ 1'), attributes: [['shop', 'Köln']] } as const;

describe('the content of a publication', () => {
  test('verbatim, to the letter', () => {
    const { headers, body } = of(verbatim);
    assert.deepEqual(headers, { 'content-type': 'application/json', ...common });
    assert.equal(Buffer.from(body).toString(), '{"coffee":1}');
  });

  test('structured, to the letter', () => {
    const { headers, body } = of(structured);
    assert.deepEqual(headers, {
      'content-type': 'application/cloudevents+json; charset=utf-8',
      ...common,
    });
    assert.equal(Buffer.from(body).toString(), encodeCloudEvent(publication(), cursor));
  });

  test('binary, to the letter', () => {
    const { headers, body } = of(binary, { type: 'order.paid' });
    assert.deepEqual(headers, {
      'ce-specversion': '1.0',
      'ce-id': 'o-1',
      'ce-source': 'shop',
      'ce-type': 'order.paid',
      'ce-subject': 'orders/1',
      'ce-time': '2025-01-02T03:04:05.006Z',
      'ce-pushfleetcursor': 'g-10-1z',
      'content-type': 'application/json',
      ...common,
    });
    assert.equal(Buffer.from(body).toString(), '{"coffee":1}');
  });

  for (const [name, format] of [
    ['binary', binary],
    ['structured', structured],
  ] as const) {
    test(`the SDK of CloudEvents reads ${name} mode`, () => {
      const { headers, body } = of(format, euros);
      const event = HTTP.toEvent({ headers: { ...headers }, body: Buffer.from(body).toString() });
      const { id, source, type, data, shop } = event as CloudEvent<unknown>;
      assert.deepEqual(
        { id, source, type, data },
        { id: 'o-1', source: 'shop', type: 'pushfleet.publication', data: { coffee: 1 } },
      );
      // The SDK leaves the escapes of binary mode as they are.
      assert.equal(decodeURIComponent(String(shop)), 'Köln');
    });
  }

  test('what would be misread or too long in binary mode is structured', () => {
    const isStructured = (o: Partial<Publication>) =>
      of(binary, o).headers['content-type']?.startsWith('application/cloudevents+json; charset') === true;
    assert.equal(isStructured({ contentType: 'application/cloudevents-batch+json' }), true);
    assert.equal(isStructured({ attributes: [['long', 'x'.repeat(8_000)]] }), true);
    assert.equal(isStructured({ attributes: [['long', 'x'.repeat(7_000)]] }), false);
    assert.equal(of(verbatim, { contentType: 'application/cloudevents+json' }).body.length, 12);
  });

  test('is made once for all receivers, in each format', () => {
    const one = publication();
    assert.equal(contentOf(one, cursor, structured).body, contentOf(one, cursor, structured).body);
    assert.equal(contentOf(one, cursor, binary).body, one.payload);
    assert.notEqual(contentOf(publication(), cursor, structured), contentOf(one, cursor, structured));
  });

  test('a content type beyond ASCII passes as the bytes it has', () => {
    const type = of(verbatim, { contentType: 'text/plain; title="é"' }).headers['content-type'];
    assert.equal(Buffer.from(type ?? '', 'latin1').toString(), 'text/plain; title="é"');
  });
});

describe('the headers of an attempt', () => {
  const secret = hmacSecret();
  const particulars = {
    id: 'msg_1',
    attempt: 3,
    subscription: 'sub-1',
    timestamp: Math.floor(Date.now() / 1_000),
    trace: undefined,
    origin: undefined,
  };

  test('are signed over the very body', () => {
    const content = of(structured, euros);
    const headers = headersOf(webhook({ secrets: [secret] }), content, particulars) ?? {};
    const text = Buffer.from(content.body).toString();
    assert.equal(
      (new Webhook(secretText(secret)).verify(text, headers) as { subject: string }).subject,
      'Preise/€ 1',
    );
    assert.equal(headers['pushfleet-topic'], 'Preise/%E2%82%AC%201');
    assert.equal(headers['pushfleet-attempt'], '3');
    assert.equal(headers['pushfleet-subscription'], 'sub-1');
    assert.equal('traceparent' in headers || 'webhook-request-origin' in headers, false);
  });

  test('say where the trace goes on, and who was permitted', () => {
    const traced = { ...particulars, trace: '00-1-2-01', origin: 'push.example.com' };
    const headers = headersOf(webhook(), of(verbatim), traced);
    assert.equal(headers?.traceparent, '00-1-2-01');
    assert.equal(headers?.['webhook-request-origin'], 'push.example.com');
  });

  test('of the subscription’s own replace none of the fleet’s', () => {
    const own = [
      { name: 'Authorization', value: 'Bearer x' },
      { name: 'User-Agent', value: 'mine' },
      { name: 'Webhook-Signature', value: 'v1,forged' },
      { name: 'Content-Type', value: 'text/html' },
    ];
    const headers = headersOf(webhook({ headers: own, secrets: [secret] }), of(verbatim), particulars);
    assert.equal(headers?.authorization, 'Bearer x');
    assert.equal(headers?.['user-agent'], 'mine');
    assert.equal(headers?.['content-type'], 'application/json');
    assert.match(headers?.['webhook-signature'] ?? '', /^v1,[A-Za-z0-9+/=]{44}$/);
  });

  test('are none where no secret is in force', () => {
    const expired = hmacSecret({ expiresAt: new Date(0) });
    assert.equal(headersOf(webhook({ secrets: [expired] }), of(verbatim), particulars), undefined);
  });
});
