import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { until } from '@pushfleet/contract';
import { decodeBinaryEvent, decodeCloudEvent, type EventDraft } from '@pushfleet/core';
import { Budget } from '@pushfleet/intake';
import { startHttp, token } from '../testing.ts';

let api: Awaited<ReturnType<typeof startHttp>>;
before(async () => {
  api = await startHttp();
});
after(() => api.stop());

const authorized = (claims: object = {}) => ({ authorization: `Bearer ${token(claims)}` });

async function publish(
  topic: string,
  body: string | Uint8Array,
  headers: Record<string, string> = {},
): Promise<string> {
  const response = await fetch(`${api.url}/v1/topics?topic=${encodeURIComponent(topic)}`, {
    method: 'POST',
    headers: { ...authorized(), ...headers },
    body,
  });
  assert.equal(response.status, 201);
  return ((await response.json()) as { cursor: string }).cursor;
}

const get = (target: string, headers: Record<string, string> = {}, method = 'GET') =>
  fetch(`${api.url}/v1/topics/${target}`, { method, headers: { ...authorized(), ...headers } });

async function eventOf(response: Response): Promise<EventDraft> {
  const body = Buffer.from(await response.arrayBuffer());
  return response.headers.get('content-type')?.startsWith('application/cloudevents+json')
    ? decodeCloudEvent(body)
    : decodeBinaryEvent([...response.headers].flat(), body);
}

describe('GET /v1/topics/<topic>?cursor=', () => {
  const payload = Buffer.from([0xff, 0, 0x0a]);
  let cursor: string;
  before(async () => {
    cursor = await publish('one/é', payload, {
      'content-type': 'text/html; charset=latin1',
      'idempotency-key': 'p-1',
      'pushfleet-attribute-a': 'b c',
      'pushfleet-attribute-X-Y': 'z',
    });
  });

  test('gives the payload as it was published, and the rest in headers', async () => {
    const response = await get(`one/%C3%A9?cursor=${cursor}`);
    assert.equal(response.status, 200);
    const headers = Object.fromEntries(response.headers);
    assert.equal(headers['content-type'], 'text/html; charset=latin1');
    assert.equal(headers['pushfleet-cursor'], cursor);
    assert.equal(headers['ce-pushfleetcursor'], cursor);
    assert.equal(headers['x-content-type-options'], 'nosniff');
    assert.equal(headers['content-security-policy'], 'sandbox');
    assert.equal(headers['cache-control'], 'no-store');
    assert.equal(headers.vary, 'Accept');
    assert.equal(headers['ce-a'], 'b%20c');
    const event = await eventOf(response);
    assert.deepEqual(Buffer.from(event.payload), payload);
    assert.deepEqual([event.id, event.topic, event.source], ['p-1', 'one/é', 'publisher']);
    const others = event.attributes.filter(([name]) => name !== 'time');
    assert.deepEqual(others, [
      ['a', 'b c'],
      ['x-y', 'z'],
    ]);
  });

  for (const [accept, mode] of [
    ['*/*', 'text/html'],
    ['application/cloudevents+json', 'application/cloudevents+json'],
    ['application/cloudevents+json, */*;q=0.1', 'application/cloudevents+json'],
    ['text/html, application/cloudevents+json;q=0.9', 'text/html'],
    ['image/png', 'text/html'],
    ['application/cloudevents+json;q=0, */*', 'text/html'],
  ] as const) {
    test(`Accept: ${accept} gets ${mode}`, async () => {
      const response = await get(`one/%C3%A9?cursor=${cursor}`, { accept });
      assert.equal(response.headers.get('content-type')?.split(';')[0], mode);
      const event = await eventOf(response);
      assert.deepEqual(Buffer.from(event.payload), payload);
      assert.equal(event.contentType, 'text/html; charset=latin1');
    });
  }

  test('a payload that is a CloudEvent itself comes in structured mode', async () => {
    const draft = {
      topic: 'nested',
      contentType: 'application/cloudevents+json',
      payload: { specversion: '1.0' },
    };
    const batch = await fetch(`${api.url}/v1/publish`, {
      method: 'POST',
      headers: { ...authorized(), 'content-type': 'application/json' },
      body: JSON.stringify([draft]),
    });
    const [{ cursor }] = (await batch.json()) as [{ cursor: string }];
    const event = await eventOf(await get(`nested?cursor=${cursor}`));
    assert.equal(event.topic, 'nested');
    assert.equal(event.contentType, 'application/cloudevents+json');
    assert.equal(Buffer.from(event.payload).toString(), '{"specversion":"1.0"}');
  });

  test('HEAD has the headers alone', async () => {
    const response = await get(`one/%C3%A9?cursor=${cursor}`, {}, 'HEAD');
    assert.deepEqual([response.status, response.headers.get('content-length')], [200, '3']);
  });

  test('each publication of a topic by its own cursor', async () => {
    const cursors = [await publish('many', 'a'), await publish('many', 'b')];
    const texts = await Promise.all(cursors.map(async (at) => (await get(`many?cursor=${at}`)).text()));
    assert.deepEqual(texts, ['a', 'b']);
  });

  for (const [name, target, headers, status, code] of [
    ['no token', 'one/%C3%A9?cursor=CURSOR', { authorization: '' }, 401, 'unauthenticated'],
    [
      'a token for another topic',
      'one/%C3%A9?cursor=CURSOR',
      authorized({ pushfleet: { subscribe: ['two'] } }),
      403,
      'forbidden',
    ],
    [
      'a token that only publishes',
      'one/%C3%A9?cursor=CURSOR',
      authorized({ pushfleet: { publish: ['#'] } }),
      403,
      'forbidden',
    ],
    ['another topic', 'two?cursor=CURSOR', {}, 404, 'not_found'],
    ['another namespace', 'one/%C3%A9?cursor=CURSOR', authorized({ ns: 'other' }), 404, 'not_found'],
    ['what is no cursor', 'one/%C3%A9?cursor=x', {}, 400, 'cursor_invalid'],
    ['two cursors', 'one/%C3%A9?cursor=CURSOR&cursor=CURSOR', {}, 400, 'request_invalid'],
    ['both ways', 'one/%C3%A9?cursor=CURSOR&retained=true', {}, 400, 'request_invalid'],
    ['a misspelt parameter', 'one/%C3%A9?curser=CURSOR', {}, 400, 'request_invalid'],
    ['a wildcard', 'one/%23?cursor=CURSOR', {}, 400, 'topic_invalid'],
    ['retained in another word', 'one/%C3%A9?retained=yes', {}, 400, 'request_invalid'],
    ['nothing retained', 'one/%C3%A9?retained=true', {}, 404, 'not_found'],
  ] as const) {
    test(`refuses ${name}`, async () => {
      const response = await get(target.replaceAll('CURSOR', cursor), headers);
      assert.equal(response.status, status);
      assert.equal(((await response.json()) as { code: string }).code, code);
    });
  }
});

describe('GET /v1/topics/<topic>?retained=true', () => {
  test('gives the last that was retained, and where to go on', async () => {
    await publish('state', 'old', { 'pushfleet-retain': 'true' });
    await publish('state', 'new', { 'pushfleet-retain': 'true', 'content-type': 'text/plain' });
    await publish('state', 'passing');
    await publish('state/below', 'other', { 'pushfleet-retain': 'true' });
    const response = await get('state?retained=true');
    assert.equal(await response.text(), 'new');
    assert.equal(response.headers.get('content-type'), 'text/plain');
    assert.notEqual(response.headers.get('pushfleet-cursor'), null);
    const structured = await eventOf(
      await get('state?retained=true', { accept: 'application/cloudevents+json' }),
    );
    assert.equal(structured.topic, 'state');
  });

  test('is 404 once it was cleared', async () => {
    await publish('cleared', 'x', { 'pushfleet-retain': 'true' });
    await publish('cleared', '', { 'pushfleet-retain': 'true' });
    assert.equal((await get('cleared?retained=true')).status, 404);
  });
});

test('where a policy keeps no history, a cursor gets none, and the retained publication is given', async (t) => {
  const policies = { of: () => ({ history: false, presence: false }) };
  const quiet = await startHttp({ stored: { policies } });
  t.after(() => quiet.stop());
  const headers = { ...authorized(), 'pushfleet-retain': 'true' };
  const stored = await fetch(`${quiet.url}/v1/topics/a`, { method: 'POST', headers, body: 'x' });
  const { cursor } = (await stored.json()) as { cursor: string };
  const get = (query: string) => fetch(`${quiet.url}/v1/topics/a?${query}`, { headers: authorized() });
  const refusal = (await (await get(`cursor=${cursor}`)).json()) as { code: string };
  assert.equal(refusal.code, 'history_off');
  assert.equal(await (await get('retained=true')).text(), 'x');
});

test('what is on its way out has a limit, and makes room when it has left', async (t) => {
  const outgoing = new Budget(3);
  const small = await startHttp({ outgoing });
  t.after(() => small.stop());
  const statusOf = async (payload: string): Promise<number> => {
    const headers = { ...authorized(), 'pushfleet-retain': 'true' };
    await fetch(`${small.url}/v1/topics/a`, { method: 'POST', headers, body: payload });
    const response = await fetch(`${small.url}/v1/topics/a?retained=true`, { headers: authorized() });
    await response.arrayBuffer();
    return response.status;
  };
  assert.equal(await statusOf('abc'), 200);
  assert.equal(await statusOf('abcd'), 503);
  await until(() => outgoing.held === 0, 'the first to have left');
  assert.equal(await statusOf('ab'), 200);
});

test('a publication whose headers clients would not read comes as an event', async () => {
  const typeOf = async (spaces: number): Promise<string | null> => {
    const topic = `long/${spaces}`;
    const value = `${'a '.repeat(spaces)}a`;
    const attribute = { 'content-type': 'text/plain', 'pushfleet-attribute-k': value };
    const cursor = await publish(topic, 'x', attribute);
    const response = await get(`${topic}?cursor=${cursor}`, { accept: 'text/plain' });
    const event = await eventOf(response);
    assert.equal(Buffer.from(event.payload).toString(), 'x');
    assert.equal(new Map(event.attributes).get('k'), value);
    return response.headers.get('content-type');
  };
  // A space is three bytes in a header.
  assert.equal(await typeOf(1_900), 'text/plain');
  assert.equal(await typeOf(2_100), 'application/cloudevents+json; charset=utf-8');
});
