import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, suite, test } from 'node:test';
import { Authority, until, withoutOpenssl } from '@pushfleet/contract';
import { ConfigError, type Fields, readConfig } from './config.ts';
import { field } from './field.ts';
import type { TlsPair } from './tls-pair.ts';
import { WatchedTls } from './watched-tls.ts';

const pem = <const E extends string>(env: E) =>
  field.pem({ env, doc: 'A text.', optional: true, secret: true });
const fields = {
  cert: pem('PUSHFLEET_X_TLS_CERT'),
  key: pem('PUSHFLEET_X_TLS_KEY'),
  clientCa: pem('PUSHFLEET_X_TLS_CLIENT_CA'),
  clientCrl: pem('PUSHFLEET_X_TLS_CLIENT_CRL'),
} satisfies Fields;

suite('certificates that are read again', { skip: withoutOpenssl }, () => {
  const authority = new Authority();
  const folder = mkdtempSync(join(tmpdir(), 'pushfleet-watched-'));
  after(() => {
    authority.close();
    rmSync(folder, { recursive: true });
  });
  const [one, other] = [authority.issue('DNS:one'), authority.issue('DNS:other')];
  const [certFile, keyFile] = [join(folder, 'crt'), join(folder, 'key')];
  const write = (cert: string, key: string): void => {
    writeFileSync(certFile, cert);
    writeFileSync(keyFile, key);
  };

  function watch(env: Record<string, string>) {
    const outcomes: string[] = [];
    const problems: string[] = [];
    const changes: TlsPair[] = [];
    const watched = new WatchedTls({
      prefix: 'PUSHFLEET_X_TLS',
      sources: readConfig(fields, env),
      log: { info() {}, error: (o: { problems: string[] }) => problems.push(...o.problems) } as never,
      metrics: {
        counter: () => ({ add: (_: number, { outcome }: { outcome: string }) => outcomes.push(outcome) }),
        gauge() {},
      } as never,
    });
    watched.onChanged = (pair) => changes.push(pair);
    watched.start();
    after(() => watched.close());
    return { watched, outcomes, problems, changes };
  }
  const inFiles = { PUSHFLEET_X_TLS_CERT_FILE: certFile, PUSHFLEET_X_TLS_KEY_FILE: keyFile };

  test('both halves change, one after the other: the pair is taken, and no half of it', async () => {
    write(one.cert, one.key);
    const { watched, outcomes, changes } = watch(inFiles);
    assert.deepEqual(watched.pair, one);
    writeFileSync(certFile, other.cert);
    // As whoever writes two files.
    await new Promise((resolve) => setTimeout(resolve, 500));
    writeFileSync(keyFile, other.key);
    await until(() => changes.length === 1, 'the new pair');
    assert.deepEqual(changes, [other]);
    assert.deepEqual(watched.pair, other);
    assert.deepEqual(outcomes, ['changed']);
  });

  test('what is wrong is told, and the old pair stays until it is mended', async () => {
    write(one.cert, one.key);
    const { watched, outcomes, problems, changes } = watch(inFiles);
    writeFileSync(keyFile, other.key);
    await until(() => outcomes.length === 1, 'it is refused');
    assert.deepEqual([outcomes, watched.pair], [['refused'], one]);
    assert.match(problems.join(), /PUSHFLEET_X_TLS_CERT and PUSHFLEET_X_TLS_KEY are not usable/);
    rmSync(certFile);
    await until(() => outcomes.length === 2, 'it is refused');
    assert.match(problems.join(), /ENOENT/);
    assert.ok(problems.every((problem) => !problem.includes('PRIVATE KEY')));
    write(other.cert, other.key);
    await until(() => changes.length === 1, 'it is taken');
    assert.deepEqual(watched.pair, other);
  });

  test('what stands in variables is what it is', () => {
    const { watched } = watch({ PUSHFLEET_X_TLS_CERT: one.cert, PUSHFLEET_X_TLS_KEY: one.key });
    assert.deepEqual(watched.pair, one);
    assert.equal(watch({}).watched.pair, undefined);
    assert.throws(() => watch({ PUSHFLEET_X_TLS_CERT: one.cert }), ConfigError);
  });
});
