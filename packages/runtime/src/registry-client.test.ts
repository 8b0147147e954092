import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { Server, type ServerWritableStream, type sendUnaryData } from '@grpc/grpc-js';
import { until } from '@pushfleet/contract';
import { type Namespace, PushfleetError } from '@pushfleet/core';
import {
  type RevocationChange,
  RevocationServiceService,
  type WatchRevocationsRequest,
  type WatchRevocationsResponse,
} from '@pushfleet/proto/pushfleet/registry/v1/revocations';
import {
  type RedeemTicketResponse,
  type TicketServiceServer,
  TicketServiceService,
} from '@pushfleet/proto/pushfleet/registry/v1/tickets';
import { readConfig } from './config.ts';
import { createGrant } from './grant.ts';
import { toGrpc } from './grpc-error.ts';
import { internalServer } from './internal.ts';
import { createLog } from './log.ts';
import { createRegistryClient } from './registry-client.ts';
import { registryFields } from './shared-fields.ts';
import { secret } from './testing.ts';

const env = { PUSHFLEET_INTERNAL_SECRET: secret };
const log = createLog({ name: 'test', level: 'silent' });
const nothing = { publish: [], subscribe: [], presence: [], manage: [] };
const grantOf = (subject: string) =>
  createGrant(
    { subject, namespace: 'default' as Namespace, expiresAt: 1e13, tokenDigest: `of-${subject}` },
    nothing,
  );

type Watcher = ServerWritableStream<WatchRevocationsRequest, WatchRevocationsResponse>;
type Redeem = (ticket: string, answer: sendUnaryData<RedeemTicketResponse>) => void;

/** A registry that does what the test says. */
async function registry(o: { port?: number; redeem?: Redeem } = {}) {
  const { credentials, options } = internalServer(readConfig(registryFields, env));
  const server = new Server(options);
  const watchers: Watcher[] = [];
  server.addService(RevocationServiceService, {
    watchRevocations: (call: Watcher) => void watchers.push(call),
  });
  const tickets: TicketServiceServer = {
    redeemTicket: (call, callback) => o.redeem?.(call.request.ticket, callback),
  };
  server.addService(TicketServiceService, tickets);
  const port = await new Promise<number>((resolve, reject) =>
    server.bindAsync(`127.0.0.1:${o.port ?? 0}`, credentials, (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    ),
  );
  return { port, watchers, stop: () => server.forceShutdown() };
}

function clientOf(t: TestContext, port: number) {
  const config = readConfig(registryFields, { ...env, PUSHFLEET_REGISTRY_URL: `http://127.0.0.1:${port}` });
  const client = createRegistryClient(config, { name: 'test', log });
  t.after(() => client.close());
  return client;
}

const revoked = (subject: string, revision: bigint): RevocationChange => ({
  change: {
    $case: 'revoked',
    revoked: {
      ...{ namespace: 'default', id: `s-${subject}`, subject, tokenId: undefined, issuedBefore: undefined },
      ...{ until: new Date(Date.now() + 60_000), revision, tokenDigest: undefined },
    },
  },
});

describe('the revocations of the registry', () => {
  it('are in force once the snapshot is complete, and then change by change', async (t) => {
    const { port, watchers, stop } = await registry();
    t.after(stop);
    const client = clientOf(t, port);
    let told = 0;
    client.revocations.onRevoked(() => told++);
    await client.start();
    assert.match(client.ready?.() ?? '', /have not been read/);
    assert.throws(() => client.revocations.revoked(grantOf('c')), { code: 'unavailable' });
    await until(() => watchers.length === 1, 'the watch');
    watchers[0]?.write({ changes: [revoked('a', 1n)], snapshotComplete: false });
    watchers[0]?.write({ changes: [revoked('b', 2n)], snapshotComplete: true });
    await until(() => client.ready?.() === undefined, 'the snapshot');
    assert.equal(told, 1);
    assert.ok(client.revocations.revoked(grantOf('a')) && client.revocations.revoked(grantOf('b')));
    assert.ok(!client.revocations.revoked(grantOf('c')));
    const lifted = { namespace: 'default', id: 's-a', revision: 3n };
    watchers[0]?.write({
      changes: [{ change: { $case: 'lifted', lifted } }, revoked('c', 4n)],
      snapshotComplete: true,
    });
    await until(() => client.revocations.revoked(grantOf('c')), 'the change');
    assert.ok(!client.revocations.revoked(grantOf('a')));
    assert.equal(told, 2);
  });

  it('stay in force while the registry is away, and are replaced when it is back', async (t) => {
    const first = await registry();
    const client = clientOf(t, first.port);
    await client.start();
    await until(() => first.watchers.length === 1, 'the watch');
    first.watchers[0]?.write({ changes: [revoked('a', 1n)], snapshotComplete: true });
    await until(() => client.ready?.() === undefined, 'the snapshot');
    assert.ok(client.revocations.revoked(grantOf('a')));
    first.stop();
    const second = await registry({ port: first.port });
    t.after(second.stop);
    await until(() => second.watchers.length === 1, 'the watch to come back');
    assert.ok(client.revocations.revoked(grantOf('a')));
    assert.equal(client.ready?.(), undefined);
    second.watchers[0]?.write({ changes: [revoked('b', 5n)], snapshotComplete: false });
    second.watchers[0]?.end();
    await until(() => second.watchers.length === 2, 'another watch after an incomplete snapshot');
    assert.ok(client.revocations.revoked(grantOf('a')), 'half a snapshot replaces nothing');
    second.watchers[1]?.write({ changes: [revoked('b', 5n)], snapshotComplete: true });
    await until(() => client.revocations.revoked(grantOf('b')), 'the new snapshot');
    assert.ok(!client.revocations.revoked(grantOf('a')));
  });
});

describe('redeemTicket', () => {
  const outcomes: readonly (readonly [what: string, redeem: Redeem, expected: object])[] = [
    [
      'an unknown ticket',
      (_, answer) => answer(toGrpc(new PushfleetError('unauthenticated', 'x'))),
      { code: 'unauthenticated', message: /unknown, was used before or has expired/ },
    ],
    [
      'a registry without its index',
      (_, answer) => answer(toGrpc(new PushfleetError('unavailable', 'x'))),
      { code: 'unavailable' },
    ],
    ['a registry that fails', (_, answer) => answer(toGrpc(new Error('x'))), { code: 'unavailable' }],
    [
      'a registry with another secret',
      (_, answer) => answer(toGrpc(new PushfleetError('forbidden', 'x'))),
      { code: 'unavailable' },
    ],
  ];
  for (const [what, redeem, expected] of outcomes) {
    it(`tells of ${what}`, async (t) => {
      const { port, stop } = await registry({ redeem });
      t.after(stop);
      await assert.rejects(clientOf(t, port).redeemTicket('ticket'), expected);
    });
  }

  it('gives the token', async (t) => {
    const { port, stop } = await registry({
      redeem: (ticket, answer) => answer(null, { token: `for ${ticket}` }),
    });
    t.after(stop);
    assert.equal(await clientOf(t, port).redeemTicket('ticket'), 'for ticket');
  });

  it('asks nobody about what can be no ticket', async (t) => {
    const client = clientOf(t, 1);
    await assert.rejects(client.redeemTicket(''), { code: 'unauthenticated' });
    await assert.rejects(client.redeemTicket('x'.repeat(1_000)), { code: 'unauthenticated' });
  });

  it('is unavailable where nobody listens', async (t) => {
    await assert.rejects(clientOf(t, 1).redeemTicket('ticket'), { code: 'unavailable' });
  });

  it('is refused with advice where no registry is configured; no token is revoked and the service is ready', async () => {
    const client = createRegistryClient(readConfig(registryFields, {}), { name: 'test', log });
    await client.start();
    assert.equal(client.ready?.(), undefined);
    assert.ok(!client.revocations.revoked(grantOf('a')));
    await assert.rejects(client.redeemTicket('ticket'), {
      code: 'unavailable',
      message: /PUSHFLEET_REGISTRY_URL/,
    });
    await client.close();
  });
});
