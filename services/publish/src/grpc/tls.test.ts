import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { credentials, Metadata, type ServiceError, status } from '@grpc/grpc-js';
import { grpcCredentials } from './credentials.ts';
import { publishClient, startGrpc } from './testing.ts';

const openssl = 'openssl';
const folder = mkdtempSync(join(tmpdir(), 'pushfleet-tls-'));
after(() => rmSync(folder, { recursive: true }));

/** A self-signed certificate for localhost and its key. */
function certificate(name: string): { readonly key: string; readonly cert: string } {
  const [key, cert] = [join(folder, `${name}.key`), join(folder, `${name}.crt`)];
  const args = [
    'req',
    '-x509',
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:prime256v1',
    '-nodes',
    '-days',
    '2',
  ];
  execFileSync(
    openssl,
    [
      ...args,
      '-subj',
      `/CN=${name}`,
      '-addext',
      'subjectAltName=DNS:localhost',
      '-keyout',
      key,
      '-out',
      cert,
    ],
    { stdio: 'ignore' },
  );
  return { key: readFileSync(key, 'utf8'), cert: readFileSync(cert, 'utf8') };
}

function hasOpenssl(): boolean {
  try {
    execFileSync(openssl, ['version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

describe('TLS', {
  skip: hasOpenssl() ? false : 'openssl, which makes the certificates, is not installed',
}, () => {
  /** The status of a call without a token: UNAUTHENTICATED where the connection stands. */
  async function call(port: number, security: ReturnType<typeof credentials.createSsl>): Promise<number> {
    const client = publishClient(`localhost:${port}`, security);
    const { promise, resolve } = Promise.withResolvers<number>();
    client.publish({}, new Metadata(), { deadline: Date.now() + 10_000 }, (error: ServiceError) =>
      resolve(error.code),
    );
    return promise.finally(() => client.close());
  }

  test('with a certificate, the API speaks TLS alone', async (t) => {
    const server = certificate('server');
    const api = await startGrpc({ credentials: secured(server) });
    t.after(() => api.stop());
    assert.equal(
      await call(api.api.port, credentials.createSsl(Buffer.from(server.cert))),
      status.UNAUTHENTICATED,
    );
    assert.equal(await call(api.api.port, credentials.createInsecure()), status.UNAVAILABLE);
  });

  test('who connects and begins no handshake is let go', async (t) => {
    const { api, stop } = await startGrpc({ credentials: secured(certificate('server'), undefined, 200) });
    t.after(stop);
    const socket = connect(api.port, '127.0.0.1').on('error', () => {});
    t.after(() => socket.destroy());
    await once(socket.resume(), 'close', { signal: AbortSignal.timeout(30_000) });
  });

  test('with an authority for clients, callers need a certificate of it', async (t) => {
    const [server, client, stranger] = [
      certificate('server'),
      certificate('client'),
      certificate('stranger'),
    ];
    const api = await startGrpc({ credentials: secured(server, client.cert) });
    t.after(() => api.stop());
    const as = ({ key, cert }: typeof client) =>
      credentials.createSsl(Buffer.from(server.cert), Buffer.from(key), Buffer.from(cert));
    assert.equal(await call(api.api.port, as(client)), status.UNAUTHENTICATED);
    assert.equal(await call(api.api.port, as(stranger)), status.UNAVAILABLE);
    assert.equal(
      await call(api.api.port, credentials.createSsl(Buffer.from(server.cert))),
      status.UNAVAILABLE,
    );
  });
});

const secured = (server: { key: string; cert: string }, clientCa?: string, requestMs = 10_000) =>
  grpcCredentials({
    grpcListen: { host: '0.0.0.0', port: 0 },
    grpcCleartext: false,
    grpcTlsCert: server.cert,
    grpcTlsKey: server.key,
    grpcTlsClientCa: clientCa,
    requestMs,
  });
