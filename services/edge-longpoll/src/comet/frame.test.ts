import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runInNewContext } from 'node:vm';
import { until } from '@pushfleet/contract';
import { head, RawClient, token } from '@pushfleet/edge/testing';
import { startEdge, type TestEdge } from '../testing.ts';
import { authorization } from '../testing-client.ts';

type Said = { readonly type: string; readonly [member: string]: unknown };

/** What a browser makes of a frame: runs the scripts that the policy lets run, as far as they have come. */
class Frame {
  readonly raw: RawClient;

  constructor(edge: TestEdge, query: string, headers: Record<string, string> = {}) {
    const Authorization = authorization.authorization;
    const own = 'Cookie' in headers ? {} : { Authorization, 'Sec-Fetch-Site': 'same-origin' };
    this.raw = new RawClient(edge.port, head(`GET /comet/frame?${query} HTTP/1.1`, { ...own, ...headers }));
  }

  get nonce(): string {
    return /script-src 'nonce-([\w-]+)'/.exec(this.raw.received)?.[1] ?? '';
  }

  /** What the page was called with. */
  said(): Said[] {
    const said: Said[] = [];
    const pushfleet = (value: Said): void => void said.push(value);
    const postMessage = (value: Said, origin: string): void => void said.push({ ...value, origin });
    for (const [, nonce, script] of this.raw.body.matchAll(/<script nonce="([\w-]+)">(.*?)<\/script>/gs)) {
      if (nonce === this.nonce) {
        runInNewContext(script as string, { parent: { pushfleet, postMessage }, JSON });
      }
    }
    return said;
  }

  async has(type: string): Promise<Said> {
    const find = () => this.said().find((one) => one.type === type);
    await until(() => find() !== undefined, `${type} in ${this.raw.received}`);
    return find() as Said;
  }
}

test('a document whose scripts call the page, each with the nonce of this response alone', async (t) => {
  const edge = await startEdge(t, { PUSHFLEET_CORS_ORIGINS: 'https://app.example,*' });
  const one = new Frame(edge, 'topic=t');
  const two = new Frame(edge, 'topic=t');
  await Promise.all([one.has('open'), two.has('open')]);
  assert.notEqual(one.nonce, two.nonce);
  assert.ok(one.nonce.length >= 20);
  for (const line of [
    'content-type: text/html; charset=utf-8\r\n',
    `content-security-policy: default-src 'none'; script-src 'nonce-${one.nonce.toLowerCase()}'; base-uri 'none'; form-action 'none'; frame-ancestors 'self' https://app.example\r\n`,
    'cache-control: no-store, no-transform\r\n',
    'x-accel-buffering: no\r\n',
    'referrer-policy: no-referrer\r\n',
  ]) {
    assert.ok(one.raw.head.includes(line), `${line} in ${one.raw.head}`);
  }
  await edge.publish('t', 'hello');
  for (const frame of [one, two]) {
    const { event } = await frame.has('publication');
    assert.equal((event as { data: string }).data, 'hello');
    frame.raw.close();
  }
});

test('a payload cannot leave its script', async (t) => {
  const edge = await startEdge(t);
  const frame = new Frame(edge, 'topic=t');
  await frame.has('open');
  const evil = `</script><script nonce="${frame.nonce}">parent.pushfleet({type:"evil"})</script><!--<script>\u2028`;
  await edge.publish('t', evil);
  const { event } = await frame.has('publication');
  await edge.publish('t', '{"__proto__":{"a":1},"b":"</script>"}', { contentType: 'application/json' });
  await until(() => frame.said().filter(({ type }) => type === 'publication').length === 2, 'both');
  assert.equal((event as { data: string }).data, evil);
  assert.ok(frame.said().every(({ type }) => type !== 'evil'));
  frame.raw.close();
});

test('is rotated by bytes and told to come back at once', async (t) => {
  const edge = await startEdge(t, { PUSHFLEET_EDGE_LONGPOLL_RESPONSE_BYTES: '8KiB' });
  const frame = new Frame(edge, 'topic=t');
  await frame.has('open');
  for (let i = 0; i < 10; i++) await edge.publish('t', 'x'.repeat(1_000));
  await frame.raw.end();
  const { code, reconnect, retryMs } = frame.said().at(-1) as Said;
  assert.deepEqual([code, reconnect, retryMs], ['connection_age', true, 0]);
});

const refusals: readonly [string, Record<string, string>, number, string, boolean][] = [
  ['', {}, 400, 'request_invalid', false],
  ['topic=t', { Authorization: 'Bearer x' }, 401, 'unauthenticated', false],
  ['topic=$presence/t', {}, 403, 'forbidden', false],
];
for (const [query, headers, status, code, reconnect] of refusals) {
  test(`${code} is told to the page, which cannot read the status, and has the status all the same`, async (t) => {
    const edge = await startEdge(t);
    const frame = new Frame(edge, query, headers);
    await frame.raw.end();
    assert.equal(frame.raw.status, status);
    const said = frame.said();
    assert.deepEqual(
      said.map((one) => [one.type, one.code, one.reconnect]),
      [['closing', code, reconnect]],
    );
    assert.match(frame.raw.head, /content-type: text\/html; charset=utf-8\r\n/);
  });
}

test('a full instance says when to come back', async (t) => {
  const edge = await startEdge(t, { PUSHFLEET_EDGE_LONGPOLL_CONNECTIONS: '1' });
  const first = new Frame(edge, 'topic=t');
  await first.has('open');
  const second = new Frame(edge, 'topic=t');
  await second.raw.end();
  const { code, retryMs } = second.said()[0] as Said;
  assert.equal(second.raw.status, 503);
  assert.equal(code, 'too_many_connections');
  assert.ok(Number(retryMs) >= 5_000);
  first.raw.close();
});

test('a page of another origin has to be listed: its cookie counts, and it alone is spoken to', async (t) => {
  const edge = await startEdge(t, { PUSHFLEET_CORS_ORIGINS: 'https://app.example' });
  const cookie = { Cookie: `pushfleet=${token()}`, 'Sec-Fetch-Site': 'cross-site' };
  const listed = new Frame(edge, 'topic=t', { ...cookie, Referer: 'https://app.example/page' });
  assert.equal((await listed.has('open')).origin, 'https://app.example');
  listed.raw.close();
  const evil = new Frame(edge, 'topic=t', { ...cookie, Referer: 'https://evil.example/' });
  await evil.raw.end();
  assert.deepEqual([evil.raw.status, evil.said()[0]?.code], [403, 'forbidden']);
});

test('a ticket lets a frame in, as it may set no header', async (t) => {
  const edge = await startEdge(t);
  const ticket = edge.registry.ticket(token());
  const frame = new RawClient(edge.port, head(`GET /comet/frame?topic=t&ticket=${ticket} HTTP/1.1`));
  await frame.has('\\"type\\":\\"open\\"');
  assert.match(frame.head, /set-cookie: pushfleet=/);
  frame.close();
});
