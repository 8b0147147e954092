import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { hook, startWebhookFleet, type WebhookFleet } from './testing.ts';

const repeat = (text: string, count: number): string => text.repeat(count);
const types = (count: number): string[] => Array.from({ length: count }, (_, n) => `t${n}`);
const headers = (count: number): Record<string, string> =>
  Object.fromEntries(types(count).map((name) => [name, 'v']));
const key = (bytes: number): string => `whsec_${Buffer.alloc(bytes, 7).toString('base64')}`;
const url = (length: number): string => `https://shop.example.com/`.padEnd(length, 'x');
const soon = (ms: number): string => new Date(Date.now() + ms).toISOString();
const tenYears = 10 * 366 * 86_400;
const minute = 60_000;

describe('limits of a subscription', () => {
  let fleet: WebhookFleet;

  before(async () => {
    fleet = await startWebhookFleet({ PUSHFLEET_WEBHOOK_UNCONFIRMED: 'true' });
  });
  after(() => fleet.close());

  for (const [what, good, bad] of [
    ['id', ['a', 'a'.repeat(63), 'b'.repeat(64)], ['', 'a'.repeat(65), 'a/b', 'ä']],
    [
      'filter',
      [`orders/${repeat('x', 1_016)}`, `orders/${repeat('x', 1_017)}`],
      ['', `orders/${repeat('x', 1_018)}`, 'orders/#/x', 'a+', 5],
    ],
    [
      'url',
      [url(2_047), url(2_048)],
      [url(2_049), '', 'shop.example.com', 'ftp://shop.example.com', 'https://shop.example.com/#a'],
    ],
    ['format', ['binary', 'structured', 'verbatim'], ['', 'Binary', null]],
    ['types', [[], types(63), types(64), ['t'.repeat(256)]], [types(65), [''], ['t'.repeat(257)], 't', null]],
    [
      'expression',
      ['', 'true', `id == "${repeat('x', 1_015)}"`, `id == "${repeat('x', 1_016)}"`],
      [`id == "${repeat('x', 1_017)}"`, 'id', 'nothing == 1'],
    ],
    [
      'headers',
      [{}, headers(31), headers(32), { ['n'.repeat(128)]: 'v' }, { n: 'v'.repeat(8_191) }],
      [
        headers(33),
        { ['n'.repeat(129)]: 'v' },
        { n: 'v'.repeat(8_192) },
        { n: '' },
        { n: 'a\nb' },
        { n: 'ä' },
        { 'a b': 'v' },
        { '': 'v' },
        { n: 5 },
        { a: 'v', A: 'v' },
      ],
    ],
    ['rate', [1, 9_999, 10_000], [0, 10_001, 1.5, '5']],
    ['concurrency', [1, 999, 1_000], [0, 1_001]],
    ['timeout', [1, 119, 120], [0, 121, 0.5]],
    ['ordered', [true, false], ['true', 1]],
    ['handshake', ['none'], ['', 'Echo']],
    ['signing', ['hmac', 'ed25519'], ['rsa']],
    [
      'secret',
      [key(24), key(63), key(64)],
      [key(23), key(65), 'whsec_', 'x', `${key(24)}!`, 'whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB'],
    ],
    [
      'description',
      ['', 'x'.repeat(1_023), 'x'.repeat(1_024), 'ä'.repeat(512)],
      ['x'.repeat(1_025), 'ä'.repeat(513)],
    ],
    ['lease', [1, tenYears - 60, tenYears], [0, tenYears + 1, 1.5]],
    [
      'expiresAt',
      [soon(minute), soon(tenYears * 1_000 - minute)],
      [soon(-1), soon(tenYears * 1_000 + minute), '2030-13-01T00:00:00Z', 'tomorrow'],
    ],
    ['more', [], [1]],
  ] as const) {
    it(`of ${what}`, async () => {
      const ask = (value: unknown) => {
        const body = { ...hook, filter: 'orders/1', handshake: 'none', [what]: value };
        return fleet.ask('POST', '/v1/subscriptions', { body });
      };
      const shown = (value: unknown) => JSON.stringify(value).slice(0, 80);
      for (const value of good) {
        const { status, body } = await ask(value);
        assert.equal(status, 201, `${shown(value)}: ${body.detail}`);
      }
      for (const value of bad) {
        const { status, body } = await ask(value);
        assert.equal(status, 400, `${shown(value)}: ${status}`);
        assert.ok(String(body.detail).length > 20);
        if (what === 'secret') assert.ok(!JSON.stringify(body).includes(String(value).slice(6) || '!'));
      }
    });
  }

  it('of the headers that the delivery sets itself', async () => {
    for (const name of 'Host Content-Type content-length Transfer-Encoding Connection webhook-id Webhook-Signature ce-id CE-Type TE Upgrade Expect Proxy-Authorization Pushfleet-Attempt traceparent'.split(
      ' ',
    )) {
      const { status, body } = await fleet.ask('POST', '/v1/subscriptions', {
        body: { ...hook, headers: { [name]: 'v' } },
      });
      assert.equal(status, 400, name);
      assert.match(String(body.detail), /is set by the delivery itself/);
    }
  });

  it('of addresses, before anybody is called', async () => {
    const { length } = fleet.errands;
    for (const address of [
      'https://127.0.0.1/',
      'https://[::1]/',
      'http://shop.example.com/',
      'https://169.254.169.254/latest',
      'https://user:pw@shop.example.com/',
      'https://shop.example.com:22/',
      'https://metadata.google.internal/',
    ]) {
      for (const asked of [
        { method: 'POST', path: '/v1/subscriptions', body: { ...hook, url: address } },
        { method: 'POST', path: '/v1/subscriptions', body: { filter: 'orders/1', target_url: address } },
      ]) {
        const { status, body } = await fleet.ask(asked.method, asked.path, { body: asked.body });
        assert.deepEqual([status, body.code], [422, 'target_refused'], address);
      }
    }
    assert.equal(fleet.errands.length, length);
  });

  it('of both ways to say one thing', async () => {
    for (const body of [
      { ...hook, event: 'orders/1' },
      { ...hook, target_url: hook.url },
      { ...hook, lease: 60, expiresAt: soon(minute) },
      { ...hook, signing: 'ed25519', secret: key(32) },
      { url: hook.url },
      { filter: hook.filter },
      [],
      'text',
      null,
    ]) {
      assert.equal(
        (await fleet.ask('POST', '/v1/subscriptions', { body })).status,
        400,
        JSON.stringify(body),
      );
    }
  });

  it('of an Idempotency-Key', async () => {
    const both = { headers: { 'idempotency-key': 'a' }, body: { ...hook, id: 'with-a-key' } };
    assert.equal((await fleet.ask('POST', '/v1/subscriptions', both)).status, 400);
    for (const [length, expected] of [
      [255, 201],
      [256, 201],
      [257, 400],
    ] as const) {
      const headers = { 'idempotency-key': 'k'.repeat(length) };
      assert.equal((await fleet.ask('POST', '/v1/subscriptions', { headers, body: hook })).status, expected);
    }
  });

  it('of changes', async () => {
    const { body: created } = await fleet.ask('POST', '/v1/subscriptions', { body: hook });
    for (const body of [
      {},
      { id: 'x' },
      { state: 'active' },
      { secret: key(32) },
      { handshake: 'none' },
      { url: null },
      { filter: null },
      { ordered: null },
      { rate: 0 },
      { url: 'https://10.0.0.1/' },
    ]) {
      const { status } = await fleet.ask('PATCH', `/v1/subscriptions/${created.id}`, { body });
      assert.ok(status === 400 || status === 422, `${JSON.stringify(body)}: ${status}`);
    }
  });

  it('of a rotation', async () => {
    const { body: created } = await fleet.ask('POST', '/v1/subscriptions', { body: hook });
    for (const [body, expected] of [
      [{ overlap: 604_799 }, 200],
      [{ overlap: 604_800 }, 200],
      [{ overlap: 604_801 }, 400],
      [{ overlap: -1 }, 400],
      [{ signing: 'rsa' }, 400],
      [{ signing: 'ed25519', secret: key(32) }, 400],
      [{ more: 1 }, 400],
    ] as const) {
      const { status } = await fleet.ask('POST', `/v1/subscriptions/${created.id}/rotate-secret`, { body });
      assert.equal(status, expected, JSON.stringify(body));
    }
  });

  it('of lists', async () => {
    for (const [query, expected] of [
      ['limit=1', 200],
      ['limit=999', 200],
      ['limit=1000', 200],
      ['limit=1001', 400],
      ['limit=0', 400],
      ['limit=', 400],
      ['limit=1&limit=2', 400],
      ['state=active', 200],
      ['state=Active', 400],
      ['filter=a%23', 400],
      ['after=x', 400],
      ['more=1', 400],
    ] as const) {
      assert.equal((await fleet.ask('GET', `/v1/subscriptions?${query}`)).status, expected, query);
    }
  });
});
