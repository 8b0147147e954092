import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { entryOf, keyOf, newLease } from '../presence/testing.ts';
import { type Json, startWebhookFleet, type WebhookFleet } from './testing.ts';

const claims = { sub: 'alice', ns: 'team-a', pushfleet: { presence: ['rooms/#'] } };

describe('GET /v1/presence', () => {
  const folder = mkdtempSync(join(tmpdir(), 'pushfleet-policies-'));
  let fleet: WebhookFleet;
  const list = (query: string, who: Json = claims) =>
    fleet.ask('GET', `/v1/presence?${query}`, { claims: who });

  before(async () => {
    const file = join(folder, 'policies.json');
    writeFileSync(file, JSON.stringify({ topics: [{ filter: 'rooms/silent', presence: false }] }));
    fleet = await startWebhookFleet({ PUSHFLEET_POLICIES_FILE: file });
    const { presence } = fleet.registry;
    const lease = newLease();
    await new Promise<void>((resolve, reject) => {
      const on = { onHeld: () => resolve(), onEnd: reject };
      presence.holding.hold({ lease, service: 'test', ...on });
    });
    const states = [
      { state: Buffer.from('{"at": 7}'), stateContentType: 'application/json' },
      { state: Buffer.from('there'), stateContentType: 'text/plain' },
      { state: Buffer.from([255]), stateContentType: 'application/octet-stream' },
      {},
    ];
    await presence.put(
      lease,
      states.map((state, n) => entryOf(keyOf('rooms/1', n < 2 ? 'ann' : 'bob', `c${n}`), state)),
    );
  });
  after(async () => {
    await fleet.close();
    rmSync(folder, { recursive: true, force: true });
  });

  it('says who is there, with state of every kind', async () => {
    const { status, body } = await list('topic=rooms/1');
    assert.equal(status, 200);
    assert.deepEqual(Object.keys(body), ['members', 'total']);
    const members = body.members as Json[];
    assert.deepEqual(
      members.map(({ since, changed, revision, ...rest }) => rest),
      [
        { subject: 'ann', client: 'c0', status: 'online', state: { at: 7 } },
        { subject: 'ann', client: 'c1', status: 'online', state: 'there', stateContentType: 'text/plain' },
        {
          subject: 'bob',
          client: 'c2',
          status: 'online',
          stateBase64: '/w==',
          stateContentType: 'application/octet-stream',
        },
        { subject: 'bob', client: 'c3', status: 'online' },
      ],
    );
    assert.equal(body.total, 4);
  });

  it('gives pages, and the clients of one subject', async () => {
    const first = await list('topic=rooms/1&limit=3');
    const second = await list(`topic=rooms/1&limit=3&after=${first.body.next}`);
    const clients = [first, second].flatMap(({ body }) =>
      (body.members as Json[]).map(({ client }) => client),
    );
    assert.deepEqual(clients, ['c0', 'c1', 'c2', 'c3']);
    assert.equal(second.body.next, undefined);
    const bob = await list('topic=rooms/1&subject=bob');
    assert.deepEqual(
      (bob.body.members as Json[]).map(({ client }) => client),
      ['c2', 'c3'],
    );
    assert.deepEqual((await list('topic=rooms/2')).body, { members: [], total: 0 });
    const elsewhere = await list('topic=rooms/1', { ...claims, ns: 'team-b' });
    assert.equal(elsewhere.body.total, 0);
  });

  const refusals: readonly (readonly [string, string, Json?])[] = [
    ['', 'request_invalid'],
    ['topic=rooms/1&limit=0', 'request_invalid'],
    ['topic=rooms/1&limit=1001', 'request_invalid'],
    ['topic=rooms/1&after=%00', 'request_invalid'],
    ['topic=rooms/1&filter=x', 'request_invalid'],
    ['topic=rooms/%2B', 'topic_invalid'],
    ['topic=$sys/1', 'topic_invalid'],
    ['topic=other', 'forbidden'],
    ['topic=rooms/silent', 'forbidden'],
    ['topic=rooms/1', 'forbidden', { ...claims, pushfleet: { subscribe: ['#'], manage: true } }],
  ];
  for (const [query, code, who] of refusals) {
    it(`refuses ${query} as ${code}${who === undefined ? '' : ' without the grant'}`, async () => {
      assert.equal((await list(query, who)).body.code, code);
    });
  }
});
