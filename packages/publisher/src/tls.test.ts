import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { ServerCredentials } from '@grpc/grpc-js';
import { connect } from './connect.ts';
import { receiptOf, startTestService } from './testing-service.ts';

const folder = mkdtempSync(join(tmpdir(), 'pushfleet-publisher-'));
after(() => rmSync(folder, { recursive: true }));

/** A certificate for localhost that signed itself, and its key. */
function certificate(name: string): { readonly key: Buffer; readonly cert: Buffer } {
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  const names = ['-subj', `/CN=${name}`, '-addext', 'subjectAltName=DNS:localhost'];
  const files = ['-keyout', `${name}.key`, '-out', `${name}.crt`];
  execFileSync('openssl', ['req', '-x509', ...newKey, '-days', '2', ...names, ...files], {
    cwd: folder,
    stdio: 'pipe',
  });
  const read = (file: string) => readFileSync(join(folder, file));
  return { key: read(`${name}.key`), cert: read(`${name}.crt`) };
}

describe('TLS', () => {
  it('trusts the authority given and shows the certificate given, and sends nothing otherwise', async (t) => {
    const [server, client] = [certificate('server'), certificate('client')];
    const pair = { private_key: server.key, cert_chain: server.cert };
    const service = await startTestService(
      (drafts) => drafts.map(receiptOf),
      {},
      ServerCredentials.createSsl(client.cert, [pair], true),
    );
    t.after(() => service.stop());
    const attempt = async (tls: object): Promise<string> => {
      const options = { url: `https://localhost:${service.port}`, token: 't', tls };
      await using publisher = connect({ ...options, limits: { patienceMs: 1_000 } });
      return publisher.publish('t', 1).then(
        ({ topic }) => topic,
        ({ code }) => code,
      );
    };
    assert.equal(await attempt({ ca: server.cert, ...client }), 't');
    assert.equal(await attempt({ ca: server.cert.toString(), ...client }), 't');
    assert.equal(await attempt(client), 'timeout', 'nobody vouches for the server');
    assert.equal(await attempt({ ca: server.cert }), 'timeout', 'the server asks for a certificate');
    assert.equal(service.batches.length, 2);
  });
});
