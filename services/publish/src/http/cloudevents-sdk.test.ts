// The official SDK writes what the service takes and reads what it gives.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { CloudEvent, type CloudEventV1, HTTP, type Message } from 'cloudevents';
import { startHttp, token } from '../testing.ts';

let api: Awaited<ReturnType<typeof startHttp>>;
before(async () => {
  api = await startHttp();
});
after(() => api.stop());

const authorization = `Bearer ${token()}`;

interface Receipt {
  readonly topic: string;
  readonly cursor: string;
}

async function post(path: string, { headers, body }: Message): Promise<Receipt> {
  const response = await fetch(`${api.url}${path}`, {
    method: 'POST',
    headers: { authorization, ...(headers as Record<string, string>) },
    body: body as string | Uint8Array<ArrayBuffer>,
  });
  assert.equal(response.status, 201, await response.clone().text());
  return (await response.json()) as Receipt;
}

/** A stored publication as the SDK understands it. */
async function read({ topic, cursor }: Receipt, accept = '*/*'): Promise<CloudEvent<unknown>> {
  const response = await fetch(`${api.url}/v1/topics?topic=${encodeURIComponent(topic)}&cursor=${cursor}`, {
    headers: { authorization, accept },
  });
  assert.equal(response.status, 200);
  const headers = Object.fromEntries(response.headers);
  // The SDK reads JSON out of a string, and leaves other bodies as they are.
  const isText = /json|text/.test(headers['content-type'] ?? '');
  const body = isText ? await response.text() : Buffer.from(await response.arrayBuffer());
  const event = HTTP.toEvent<unknown>({ headers, body });
  assert.ok(event instanceof CloudEvent);
  assert.equal(event.validate(), true);
  return event;
}

/** All that an event says, its extensions in canonical strings, without what the fleet adds. */
function content(event: CloudEventV1<unknown>): object {
  const { data, data_base64: base64, ...attributes } = event as CloudEvent<unknown>;
  const said = Object.entries(attributes).filter(
    ([name, value]) => value !== undefined && !name.startsWith('pushfleet'),
  );
  const bytes = ArrayBuffer.isView(data) ? Buffer.from(data as Uint8Array) : undefined;
  return {
    ...Object.fromEntries(said.map(([name, value]) => [name, String(value)])),
    data: bytes ?? (base64 === undefined ? data : Buffer.from(base64, 'base64')),
  };
}

const events = {
  'a JSON object': new CloudEvent({
    source: 'https://shop.example/orders?a=b#c',
    type: 'com.example.order.paid',
    subject: 'orders/1',
    time: '2018-04-05T17:31:00.000Z',
    datacontenttype: 'application/json',
    dataschema: 'https://shop.example/schema#/paid',
    traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
    comexampleothervalue: 5,
    comexampleflag: true,
    data: { amount: 12.5, lines: [{ sku: 'é€😀' }], none: null },
  }),
  'a text': new CloudEvent({
    source: '/s',
    type: 't',
    subject: 'texts/1',
    datacontenttype: 'text/plain',
    data: 'line 1\r\nline 2 "€"',
  }),
  bytes: new CloudEvent({
    source: 'urn:x:y',
    type: 't',
    subject: 'bytes/1',
    datacontenttype: 'application/octet-stream',
    data: new Uint8Array([0, 255, 128, 10, 13]),
  }),
  'no data': new CloudEvent({ source: '/s', type: 't', subject: 'none/1', datacontenttype: 'text/plain' }),
} as const;

for (const [name, event] of Object.entries(events) as [string, CloudEvent<unknown>][]) {
  describe(name, () => {
    for (const mode of ['binary', 'structured'] as const) {
      for (const accept of ['*/*', 'application/cloudevents+json']) {
        // The SDK drops an empty body, and reads an empty text as no data.
        test(`published in ${mode} mode, read with Accept: ${accept}`, async () => {
          const sent = event.cloneWith({ id: `${mode} ${accept}`.replace(/[^a-z]/g, '-') });
          const received = await read(await post('/v1/publish', HTTP[mode](sent)), accept);
          const expected = content(sent) as { data: unknown };
          const actual = content(received) as { data: unknown };
          if (expected.data === undefined) actual.data = actual.data || undefined;
          assert.deepEqual(actual, expected);
        });
      }
    }
  });
}

test('a structured event without a content type holds JSON', async () => {
  const sent = new CloudEvent({ source: '/s', type: 't', subject: 'implied', data: { a: 1 } });
  const received = await read(await post('/v1/publish', HTTP.structured(sent)));
  assert.equal(received.datacontenttype, 'application/json');
  assert.deepEqual(received.data, { a: 1 });
});

test('characters beyond ASCII in attributes', async () => {
  const sent = new CloudEvent({
    source: '/s',
    type: 't',
    subject: 'grüße/€ 😀',
    name: 'Jürgen "X" 100%',
    data: 1,
  });
  const received = await read(
    await post('/v1/publish', HTTP.structured(sent)),
    'application/cloudevents+json',
  );
  assert.deepEqual([received.subject, received.name], [sent.subject, sent.name]);
});

test('a batch, event by event', async () => {
  const sent = Object.values(events) as CloudEvent<unknown>[];
  const response = await fetch(`${api.url}/v1/publish`, {
    method: 'POST',
    headers: { authorization, 'content-type': 'application/cloudevents-batch+json; charset=utf-8' },
    body: JSON.stringify(sent),
  });
  const receipts = (await response.json()) as (Receipt & { status: number })[];
  assert.deepEqual(
    receipts.map(({ status }) => status),
    sent.map(() => 201),
  );
  for (const [index, receipt] of receipts.entries()) {
    const received = await read(receipt, 'application/cloudevents+json');
    assert.deepEqual(content(received), content(sent[index] as CloudEvent<unknown>));
  }
});

test('what was published without CloudEvents is an event all the same', async () => {
  const headers = {
    'content-type': 'application/json',
    'pushfleet-source': 'a%7Cb c',
    'pushfleet-attribute-X-Y': 'z',
  };
  const receipt = await post('/v1/topics/plain', { headers, body: '{"a": 1}' });
  const event = await read(receipt, 'application/cloudevents+json');
  assert.deepEqual([event.source, event.type, event.data], ['a%7Cb%20c', 'pushfleet.publication', { a: 1 }]);
  const binary = await read(receipt);
  // The SDK does not undo the escapes of headers (HTTP binding 3.1.3.2).
  assert.deepEqual([decodeURIComponent(binary.source), binary.data], ['a%7Cb%20c', { a: 1 }]);
});
