import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it, type TestContext } from 'node:test';
import { Metadata, Server, type ServiceError, status } from '@grpc/grpc-js';
import {
  TicketServiceClient,
  type TicketServiceServer,
  TicketServiceService,
} from '@pushfleet/proto/pushfleet/registry/v1/tickets';
import { type Config, readConfig } from './config.ts';
import { checkInternal, internalClient, internalServer } from './internal.ts';
import { internalFields } from './shared-fields.ts';
import { secret, sign } from './testing.ts';

const other = 'another secret of thirty-two bytes';
const configOf = (env: NodeJS.ProcessEnv): Config<typeof internalFields> => readConfig(internalFields, env);

/** A server of the fleet's own, and what a call to it comes to. */
async function fleet(t: TestContext, env: NodeJS.ProcessEnv) {
  const { credentials, options } = internalServer(configOf(env));
  const server = new Server(options);
  const tickets: TicketServiceServer = {
    redeemTicket: (call, callback) => callback(null, { token: `token of ${call.request.ticket}` }),
  };
  server.addService(TicketServiceService, tickets);
  const port = await new Promise<number>((resolve, reject) =>
    server.bindAsync('127.0.0.1:0', credentials, (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    ),
  );
  t.after(() => server.forceShutdown());
  return (clientEnv: NodeJS.ProcessEnv, scheme = 'http') => {
    const o = { url: `${scheme}://127.0.0.1:${port}`, service: 'test' };
    const { target, credentials: own, options: withToken } = internalClient(configOf(clientEnv), o);
    const client = new TicketServiceClient(target, own, withToken);
    t.after(() => client.close());
    return new Promise<string>((resolve, reject) =>
      client.redeemTicket({ ticket: 't' }, (error, response) =>
        error ? reject(error) : resolve(response.token),
      ),
    );
  };
}

describe('calls inside the fleet', () => {
  const accepted: readonly (readonly [what: string, server: NodeJS.ProcessEnv, client: NodeJS.ProcessEnv])[] =
    [
      [
        'the same internal secret',
        { PUSHFLEET_INTERNAL_SECRET: secret },
        { PUSHFLEET_INTERNAL_SECRET: secret },
      ],
      [
        'one derived from the token secret',
        { PUSHFLEET_TOKEN_SECRET: secret },
        { PUSHFLEET_TOKEN_SECRET: secret },
      ],
      [
        'an internal secret beside different token secrets',
        { PUSHFLEET_INTERNAL_SECRET: other, PUSHFLEET_TOKEN_SECRET: secret },
        { PUSHFLEET_INTERNAL_SECRET: other },
      ],
    ];
  for (const [what, server, client] of accepted) {
    it(`are answered with ${what}`, async (t) => {
      assert.equal(await (await fleet(t, server))(client), 'token of t');
    });
  }

  it('are refused with another secret, as the fleet’s fault and not a client’s', async (t) => {
    const call = await fleet(t, { PUSHFLEET_INTERNAL_SECRET: secret });
    await assert.rejects(call({ PUSHFLEET_INTERNAL_SECRET: other }), (error: ServiceError) => {
      assert.equal(error.code, status.PERMISSION_DENIED);
      assert.match(error.details, /same PUSHFLEET_INTERNAL_SECRET/);
      return true;
    });
  });

  it('need a secret on both sides', () => {
    assert.throws(() => internalServer(configOf({})), /PUSHFLEET_INTERNAL_SECRET is not set/);
    const o = { url: 'http://127.0.0.1:1', service: 'test' };
    assert.throws(() => internalClient(configOf({}), o), /PUSHFLEET_INTERNAL_SECRET is not set/);
    const half = { PUSHFLEET_INTERNAL_SECRET: secret, PUSHFLEET_INTERNAL_TLS_CERT: 'x' };
    assert.throws(() => internalServer(configOf(half)), /go together/);
  });
});

describe('calls inside the fleet over TLS', () => {
  const folder = mkdtempSync(join(tmpdir(), 'pushfleet-tls-'));
  after(() => rmSync(folder, { recursive: true }));
  const openssl = (...args: string[]) => execFileSync('openssl', args, { cwd: folder, stdio: 'pipe' });
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  for (const ca of ['ca', 'foreign']) {
    openssl(
      'req',
      '-x509',
      ...newKey,
      '-keyout',
      `${ca}.key`,
      '-out',
      `${ca}.crt`,
      '-subj',
      `/CN=${ca}`,
      '-days',
      '2',
    );
    writeFileSync(join(folder, `${ca}.ext`), 'subjectAltName=IP:127.0.0.1');
    openssl('req', ...newKey, '-keyout', `${ca}-leaf.key`, '-out', 'leaf.csr', '-subj', '/CN=leaf');
    const issue = [
      'x509',
      '-req',
      '-in',
      'leaf.csr',
      '-CA',
      `${ca}.crt`,
      '-CAkey',
      `${ca}.key`,
      '-CAcreateserial',
    ];
    openssl(...issue, '-days', '2', '-extfile', `${ca}.ext`, '-out', `${ca}-leaf.crt`);
  }
  const file = (name: string): string => join(folder, name);
  const trust = { PUSHFLEET_INTERNAL_SECRET: secret, PUSHFLEET_INTERNAL_TLS_CA_FILE: file('ca.crt') };
  const leaf = (ca: string) => ({
    PUSHFLEET_INTERNAL_TLS_CERT_FILE: file(`${ca}-leaf.crt`),
    PUSHFLEET_INTERNAL_TLS_KEY_FILE: file(`${ca}-leaf.key`),
  });
  const withoutCa = { PUSHFLEET_INTERNAL_SECRET: secret, ...leaf('ca') };
  const full = { ...trust, ...leaf('ca') };

  const outcomes: readonly (readonly [
    what: string,
    server: NodeJS.ProcessEnv,
    client: NodeJS.ProcessEnv,
    ok: boolean,
  ])[] = [
    ['a server certificate of the fleet', withoutCa, trust, true],
    ['certificates on both sides', full, full, true],
    ['no client certificate where one is asked for', full, trust, false],
    ["a stranger's client certificate", full, { ...trust, ...leaf('foreign') }, false],
    ["a stranger's server certificate", { ...withoutCa, ...leaf('foreign') }, trust, false],
  ];
  for (const [what, server, client, ok] of outcomes) {
    it(`${ok ? 'are answered' : 'fail'} with ${what}`, async (t) => {
      const call = await fleet(t, server);
      if (ok) assert.equal(await call(client, 'https'), 'token of t');
      else await assert.rejects(call(client, 'https'), { code: status.UNAVAILABLE });
    });
  }
});

describe('checkInternal', () => {
  const check = checkInternal(configOf({ PUSHFLEET_TOKEN_SECRET: secret }));
  const mine = { iss: 'pushfleet', aud: 'pushfleet-internal' };
  const refused: readonly (readonly [what: string, header: () => Promise<string | undefined>])[] = [
    ['no token', async () => undefined],
    ['another scheme', async () => 'Basic abc'],
    ['no JWT', async () => 'Bearer abc'],
    // The one that matters: whoever can sign client tokens with the shared secret is no service of the fleet.
    ["a client's token", async () => `Bearer ${await sign({ ...mine }, secret)}`],
  ];
  for (const [what, header] of refused) {
    it(`refuses ${what}`, async () => {
      const metadata = new Metadata();
      const text = await header();
      if (text !== undefined) metadata.set('authorization', text);
      await assert.rejects(check(metadata), { code: 'forbidden' });
    });
  }
});
