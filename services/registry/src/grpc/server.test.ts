import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, afterEach, before, beforeEach, describe, it } from 'node:test';
import { type ClientReadableStream, credentials, type ServiceError, status } from '@grpc/grpc-js';
import { type RedisServer, startRedis, until } from '@pushfleet/contract';
import {
  type RevocationChange,
  RevocationServiceClient,
  type WatchRevocationsResponse,
} from '@pushfleet/proto/pushfleet/registry/v1/revocations';
import { TicketServiceClient } from '@pushfleet/proto/pushfleet/registry/v1/tickets';
import { internalClient } from '@pushfleet/runtime';
import { type Instance, reasons, sharedLog, startInstance, token } from '../testing.ts';

interface Watch {
  readonly stream: ClientReadableStream<WatchRevocationsResponse>;
  readonly responses: WatchRevocationsResponse[];
  readonly errors: ServiceError[];
  changes(): RevocationChange['change'][];
  close(): void;
}

function watch(instance: Instance): Watch {
  const { target, credentials: channel, options } = instance.client();
  const client = new RevocationServiceClient(target, channel, options);
  const stream = client.watchRevocations({});
  const responses: WatchRevocationsResponse[] = [];
  const errors: ServiceError[] = [];
  stream
    .on('data', (response) => responses.push(response))
    .on('error', (error) => errors.push(error as ServiceError));
  return {
    stream,
    responses,
    errors,
    changes: () => responses.flatMap(({ changes }) => changes.map(({ change }) => change)),
    close: () => client.close(),
  };
}

const failure = (call: (done: (error: ServiceError | null) => void) => void): Promise<ServiceError> =>
  new Promise((resolve, reject) =>
    call((error) => (error === null ? reject(new Error('it worked')) : resolve(error))),
  );

describe('gRPC', () => {
  let redis: RedisServer;
  let one: Instance;
  let two: Instance;
  let manager: string;

  before(async () => {
    redis = await startRedis();
    manager = await token();
  });
  after(() => redis.stop());
  beforeEach(async () => {
    const backbone = sharedLog();
    one = await startInstance({ redisUrl: redis.url, backbone });
    two = await startInstance({ redisUrl: redis.url, backbone });
    for (const instance of [one, two])
      await until(() => Object.keys(reasons(instance)).length === 0, 'readiness');
  });
  afterEach(async () => {
    await Promise.all([one.close(), two.close()]);
  });

  it('is for services of the fleet alone', async () => {
    const other = {
      ...noTls,
      internalSecret: 'another secret of the tests that is long',
      tokenSecret: undefined,
    };
    const url = `http://127.0.0.1:${one.grpc.port}`;
    for (const options of [{}, internalClient(other, { url, service: 'stranger' }).options]) {
      const target = `127.0.0.1:${one.grpc.port}`;
      const tickets = new TicketServiceClient(target, credentials.createInsecure(), options);
      const refused = await failure((done) => tickets.redeemTicket({ ticket: 'default.x' }, done));
      assert.equal(refused.code, status.PERMISSION_DENIED);
      const revocations = new RevocationServiceClient(target, credentials.createInsecure(), options);
      const [error] = await once(revocations.watchRevocations({}).resume(), 'error');
      assert.equal(error.code, status.PERMISSION_DENIED);
      tickets.close();
      revocations.close();
    }
  });

  it('refuses bad tickets with one answer', async () => {
    const { target, credentials: channel, options } = one.client();
    const client = new TicketServiceClient(target, channel, options);
    for (const ticket of [
      '',
      'default.x',
      `default.${'A'.repeat(43)}`,
      `..${'A'.repeat(43)}`,
      'x'.repeat(10_000),
    ]) {
      const refused = await failure((done) => client.redeemTicket({ ticket }, done));
      assert.equal(refused.code, status.UNAUTHENTICATED);
      assert.match(refused.details, /^The ticket is unknown, was used before, or has expired/);
    }
    const large = await failure((done) => client.redeemTicket({ ticket: 'x'.repeat(5_000_000) }, done));
    assert.equal(large.code, status.RESOURCE_EXHAUSTED);
    client.close();
  });

  it('gives watchers the snapshot and then every change, from every instance', async () => {
    await one.post('/v1/revocations', manager, { subject: 'early', issuedBefore: '2026-01-01T00:00:00Z' });
    const watching = watch(two);
    await until(() => watching.responses.at(-1)?.snapshotComplete ?? false, 'the snapshot');
    const [first] = watching.changes();
    assert.ok(first?.$case === 'revoked');
    assert.deepEqual(
      [first.revoked.namespace, first.revoked.subject, first.revoked.tokenId, first.revoked.issuedBefore],
      ['default', 'early', undefined, new Date('2026-01-01T00:00:00Z')],
    );
    const response = await one.post('/v1/revocations', manager, { tokenId: 'late' });
    const { id } = (await response.json()) as { id: string };
    await until(() => watching.changes().length === 2, 'the revocation');
    await fetch(`${one.url}/v1/revocations/${id}`, {
      method: 'DELETE',
      headers: { authorization: `Bearer ${manager}` },
    });
    await until(() => watching.changes().length === 3, 'the lifting');
    const [, revoked, lifted] = watching.changes();
    assert.ok(revoked?.$case === 'revoked' && lifted?.$case === 'lifted');
    assert.equal(lifted.lifted.id, id);
    assert.ok(lifted.lifted.revision > revoked.revoked.revision);
    watching.close();
  });

  it('completes the snapshot of an empty list', async () => {
    const watching = watch(one);
    await until(() => watching.responses.length === 1, 'the snapshot');
    assert.deepEqual(watching.responses[0], { changes: [], snapshotComplete: true });
    assert.equal(one.grpc.watchers, 1);
    watching.stream.cancel();
    await until(() => one.grpc.watchers === 0, 'the caller to be forgotten');
    watching.close();
  });

  it('gives a large snapshot in parts, and what changes meanwhile behind it', async () => {
    const bearer = await token();
    const many = Array.from({ length: 1_200 }, (_, i) => i);
    for (let i = 0; i < many.length; i += 100) {
      const asked = many
        .slice(i, i + 100)
        .map((n) => one.post('/v1/revocations', bearer, { subject: `user-${n}` }));
      await Promise.all((await Promise.all(asked)).map((response) => response.arrayBuffer()));
    }
    const watching = watch(one);
    watching.stream.pause();
    const after = await one.post('/v1/revocations', bearer, { subject: 'last' });
    assert.equal(after.status, 201);
    watching.stream.resume();
    await until(() => watching.changes().length === 1_201, 'everything');
    const flags = watching.responses.map(({ snapshotComplete }) => snapshotComplete);
    assert.ok(flags.length >= 3 && flags[0] === false && flags.at(-1) === true, String(flags));
    const last = watching.changes().at(-1);
    const order = flags.toSorted((a, b) => Number(a) - Number(b));
    assert.deepEqual(flags, order, 'once complete, it stays so');
    assert.ok(last?.$case === 'revoked');
    watching.close();
  });

  it('sends watchers elsewhere when it drains', async () => {
    const watching = watch(one);
    await until(() => watching.responses.length === 1, 'the snapshot');
    await one.drain();
    await until(() => watching.errors.length === 1, 'the end');
    assert.equal(watching.errors[0]?.code, status.UNAVAILABLE);
    assert.equal(watching.errors[0]?.metadata.get('pushfleet-code')[0], 'draining');
    const late = await one.post('/v1/tickets', manager);
    assert.equal(late.status, 503);
    assert.equal(((await late.json()) as { code: string }).code, 'draining');
    watching.close();
  });
});

const noTls = { internalTlsCa: undefined, internalTlsCert: undefined, internalTlsKey: undefined };
