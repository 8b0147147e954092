import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, afterEach, before, describe, type TestContext, test } from 'node:test';
import { until } from '@pushfleet/contract';
import { Fleet, token } from './fleet.ts';
import { knock, openSse, openSubscribe, publish, type Stream } from './stream.ts';

/** A client comes back for longer than this only where something is wrong. */
const patienceMs = 20_000;
const all = { publish: ['#'], subscribe: ['#'] };

let fleet: Fleet;
let manager: string;
const open: Stream[] = [];

before(async () => {
  fleet = await Fleet.start({ edges: 2, env: { PUSHFLEET_DRAIN_SECONDS: '1' } });
  manager = await token({ sub: 'manager', publish: ['#'], manage: true });
});
afterEach(() => {
  for (const stream of open.splice(0)) stream.close();
});
after(() => fleet?.stop());

const edges = (): string[] => fleet.edges.map(({ addresses }) => addresses.http as string);
const grpc = (): string => fleet.publishers[0]?.addresses.grpc as string;
const http = (): string => fleet.publishers[0]?.addresses.http as string;

/** A stream at each edge, and one by gRPC. */
async function openEverywhere(by: string): Promise<Stream[]> {
  const streams = await Promise.all([
    ...edges().map((edge) => openSse(edge, 'a/#', by)),
    openSubscribe(grpc(), 'a/#', by),
  ]);
  open.push(...streams);
  return streams;
}

interface Revocation {
  readonly id: string;
  readonly until: string;
}

async function registry(method: string, path: string, bearer: string, body?: object): Promise<Response> {
  return fetch(`http://${fleet.registry.addresses.http}${path}`, {
    method,
    headers: { authorization: `Bearer ${bearer}`, 'content-type': 'application/json' },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
}

async function revoke(body: object): Promise<Revocation> {
  const answer = await registry('POST', '/v1/revocations', manager, body);
  assert.equal(answer.status, 201, await answer.clone().text());
  return (await answer.json()) as Revocation;
}

async function lift(id: string): Promise<void> {
  assert.equal((await registry('DELETE', `/v1/revocations/${id}`, manager)).status, 204);
}

/** Resolves once they are all closed, with the reason; prints how long that took. */
async function closed(t: TestContext, streams: readonly Stream[]): Promise<void> {
  const answered = performance.now();
  await until(() => streams.every(({ ended }) => ended), 'every stream of it to be closed', patienceMs);
  t.diagnostic(
    `${streams.length} streams closed ${Math.round(performance.now() - answered)} ms after the answer`,
  );
  for (const stream of streams) assert.match(stream.text(), /token_revoked/);
}

/** What each way in says to a token. */
async function ways(bearer: string): Promise<string[]> {
  const doors = edges().map((edge) => knock(edge, 'a/#', { authorization: `Bearer ${bearer}` }));
  const cookie = edges().map((edge) => knock(edge, 'a/#', { cookie: `pushfleet=${bearer}` }));
  const subscribe = openSubscribe(grpc(), 'a/#', bearer).then(
    (stream) => {
      stream.close();
      return 'open';
    },
    (error: { code: number; metadata: { get(name: string): unknown[] } }) =>
      String(error.metadata.get('pushfleet-code')[0]),
  );
  return [
    ...(await Promise.all([...doors, ...cookie])).map(({ status, code }) => code ?? String(status)),
    await subscribe,
    String(await publish(http(), 'a/1', bearer)),
    String((await registry('POST', '/v1/tickets', bearer)).status),
  ];
}

const refused = [...Array.from({ length: 4 }, () => 'token_revoked'), 'token_revoked', '401', '401'];
const accepted = [...Array.from({ length: 4 }, () => '200'), 'open', '201', '201'];

const becomes = (bearer: string, outcome: readonly string[], what: string): Promise<void> =>
  until(async () => (await ways(bearer)).join() === outcome.join(), what, patienceMs);

/** They are open still, and receive. */
async function stay(streams: readonly Stream[]): Promise<void> {
  const mark = randomUUID();
  assert.equal(await publish(http(), `a/${mark}`, manager, mark), 201);
  await until(
    () => streams.every((stream) => stream.text().includes(mark)),
    'the others to receive',
    patienceMs,
  );
  assert.ok(streams.every(({ ended }) => !ended));
}

async function ticketFor(bearer: string): Promise<string> {
  const answer = await registry('POST', '/v1/tickets', bearer);
  return ((await answer.json()) as { ticket: string }).ticket;
}

const expiryOf = (bearer: string): number =>
  (JSON.parse(Buffer.from(bearer.split('.')[1] as string, 'base64url').toString()) as { exp: number }).exp;

describe('a revoked', () => {
  test('connection is closed with every other of its token, which is refused everywhere', async (t) => {
    const [mine, sibling, other] = await Promise.all([
      token({ ...all, sub: 'mallory', jti: 'mine' }),
      token({ ...all, sub: 'mallory', jti: 'sibling' }),
      token({ ...all, sub: 'bob' }),
    ]);
    const [streams, others] = [
      await openEverywhere(mine),
      [...(await openEverywhere(sibling)), ...(await openEverywhere(other))],
    ];
    const ids = streams.map(({ connection }) => connection);
    assert.equal(new Set(ids).size, 3);
    assert.equal(new Set(ids.map((id) => id.split('.')[0])).size, 1, 'they say that they belong together');
    const ticket = await ticketFor(mine);

    const { id, until: end } = await revoke({ connection: ids[1] });
    await closed(t, streams);
    await stay(others);
    await becomes(mine, refused, 'the refusal everywhere');
    const spent = await knock(edges()[0] as string, 'a/#', {}, `&ticket=${ticket}`);
    assert.equal(spent.code, 'token_revoked', 'a ticket stands for its token');
    assert.ok(Date.parse(end) > expiryOf(mine) * 1_000, 'it holds until the token has expired');
    assert.deepEqual(await ways(sibling), accepted);

    await lift(id);
    await becomes(mine, accepted, 'it to be good again');
  });

  test('id of a connection by gRPC closes those by SSE', async (t) => {
    const mine = await token({ ...all, sub: 'eve' });
    const streams = await openEverywhere(mine);
    await revoke({ connection: streams[2]?.connection });
    await closed(t, streams);
  });

  test('subject is closed and refused with all its tokens, those made later too', async (t) => {
    const [one, two, other] = await Promise.all([
      token({ ...all, sub: 'trudy' }),
      token({ ...all, sub: 'trudy', jti: 'two' }),
      token({ ...all, sub: 'trudy', ns: 'elsewhere' }),
    ]);
    const streams = [...(await openEverywhere(one)), ...(await openEverywhere(two))];
    await revoke({ subject: 'trudy' });
    await closed(t, streams);
    for (const bearer of [one, two, await token({ ...all, sub: 'trudy', jti: 'late' })]) {
      await becomes(bearer, refused, 'the refusal everywhere');
    }
    assert.deepEqual(await ways(other), accepted, 'another namespace has its own');
  });

  test('token id is closed and refused, and nothing else of its subject', async (t) => {
    const [mine, sibling] = await Promise.all([
      token({ ...all, sub: 'oscar', jti: 'by-id' }),
      token({ ...all, sub: 'oscar', jti: 'not-by-id' }),
    ]);
    const [streams, others] = [await openEverywhere(mine), await openEverywhere(sibling)];
    await revoke({ tokenId: 'by-id' });
    await closed(t, streams);
    await stay(others);
    await becomes(mine, refused, 'the refusal everywhere');
  });

  test('token is refused by instances that start later, and after a restart of the registry', async () => {
    const mine = await token({ ...all, sub: 'peggy', jti: 'restarts' });
    const other = await token({ ...all, sub: 'victor' });
    const streams = await openEverywhere(mine);
    const { id } = await revoke({ connection: streams[0]?.connection });
    await becomes(mine, refused, 'the refusal everywhere');
    await fleet.restartRegistry();
    for (let i = 0; i < 2; i++) {
      await fleet.end(fleet.edges, 'SIGTERM');
      await fleet.startEdge();
    }
    await fleet.end(fleet.publishers, 'SIGTERM');
    await fleet.startPublisher();
    assert.deepEqual(await ways(mine), refused, 'from the first moment that they are ready');
    assert.deepEqual(await ways(other), accepted);
    await lift(id);
    await becomes(mine, accepted, 'it to be good again');
  });

  test('token of a connection is not known by another namespace', async () => {
    const mine = await token({ ...all, sub: 'walter' });
    const [stream] = await openEverywhere(mine);
    const elsewhere = await token({ sub: 'manager', ns: 'elsewhere', manage: true });
    const body = { connection: stream?.connection };
    assert.equal((await registry('POST', '/v1/revocations', elsewhere, body)).status, 201);
    assert.equal((await registry('POST', '/v1/revocations', mine, body)).status, 403, 'without manage');
    const { id } = await revoke({ subject: 'somebody-else' });
    await until(
      async () => (await ways(await token({ ...all, sub: 'somebody-else' }))).join() === refused.join(),
      'what was revoked after it',
      patienceMs,
    );
    await lift(id);
    assert.deepEqual(await ways(mine), accepted);
  });
});
