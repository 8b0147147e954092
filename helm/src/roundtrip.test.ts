import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { promisify } from 'node:util';
import { migrate } from '@pushfleet/bus';
import {
  type NatsCluster,
  type ServiceProcess,
  startNats,
  startService,
  temporaryFolder,
} from '@pushfleet/contract';
import { findHelm } from './find-helm.ts';
import { chart } from './fleet.ts';
import { envOf, named, templateWith } from './testing-chart.ts';

const run = promisify(execFile);
const script = join(chart, 'files/roundtrip.mjs');
/** What needs no Redis. */
const values = {
  drainSeconds: 0,
  env: { PUSHFLEET_TOKEN_AUDIENCE: 'pushfleet' },
  files: { PUSHFLEET_SECRETS_KEYS: null },
  services: {
    registry: { enabled: false },
    'edge-websocket': { enabled: false },
    'delivery-webhook': { enabled: false },
    'edge-mqtt': { enabled: true, replicas: 1 },
  },
};
const secret = 'a secret of the tests, of more than 32 bytes';

const local = ({ addresses }: ServiceProcess, listener: string): string =>
  `http://127.0.0.1:${addresses[listener]?.split(':').at(-1)}`;

suite('services with the variables of the chart, and the script of helm test against them', () => {
  let nats: NatsCluster;
  let publish: ServiceProcess;
  let sse: ServiceProcess;
  let mqtt: ServiceProcess;
  const secretFile = join(temporaryFolder('helm-test'), 'secret');

  before(async () => {
    writeFileSync(secretFile, `${secret}\n`);
    nats = await startNats();
    const streams = { shards: 1, replicas: 1, maxAgeMs: 3_600_000, duplicateWindowMs: 120_000 };
    await migrate({ servers: nats.url, ...streams, maxBytes: 16 * 1_048_576 });
    const manifests = await templateWith(findHelm(), values);
    const start = (name: string): Promise<ServiceProcess> => {
      const { spec } = named(manifests, 'Deployment', `push-pushfleet-${name}`);
      const given = [...envOf({ spec: spec.template.spec })];
      // Ports of this machine that are free, at the addresses that the chart says.
      const env = given.map(([variable, value]) => [
        variable,
        variable.endsWith('_LISTEN') ? value.replace(/:\d+$/, ':0') : value,
      ]);
      const ours = { PUSHFLEET_NATS_URL: nats.url, PUSHFLEET_TOKEN_SECRET_FILE: secretFile };
      return startService(name, { ...Object.fromEntries(env), ...ours });
    };
    [publish, sse, mqtt] = await Promise.all([start('publish'), start('edge-sse'), start('edge-mqtt')]);
  });
  after(async () => {
    await Promise.all([publish?.kill('SIGKILL'), sse?.kill('SIGKILL'), mqtt?.kill('SIGKILL')]);
    await nats?.stop();
  });

  const env = (): Record<string, string> => ({
    TEST_PUBLISH_URL: local(publish, 'http'),
    PUSHFLEET_TOKEN_SECRET_FILE: secretFile,
    PUSHFLEET_TOKEN_AUDIENCE: 'pushfleet',
  });

  test('they start with the variables of the chart, open to others as far as it says', () => {
    const hosts = ({ addresses }: ServiceProcess) =>
      Object.fromEntries(Object.entries(addresses).map(([name, at]) => [name, at.replace(/:\d+$/, '')]));
    assert.deepEqual(hosts(publish), { http: '0.0.0.0', grpc: '0.0.0.0', ops: '0.0.0.0' });
    assert.partialDeepStrictEqual(hosts(mqtt), { mqtt: '127.0.0.1', ops: '0.0.0.0' });
    for (const service of [publish, sse, mqtt])
      assert.doesNotMatch(service.logs(), /nothing in the fleet reads/);
  });

  test('publishes and receives over server-sent events', async () => {
    const { stdout } = await run(process.execPath, [script], {
      env: { ...env(), TEST_SSE_URL: local(sse, 'http') },
    });
    assert.match(stdout, /published: .*\nreceived over server-sent events\n$/);
  });

  test('reads from the log where there are no server-sent events', async () => {
    const { stdout } = await run(process.execPath, [script], { env: env() });
    assert.match(stdout, /received from the log\n$/);
  });

  test('fails, and says why, where it may not publish', async () => {
    writeFileSync(`${secretFile}.other`, 'another secret, of more than 32 bytes too');
    const attempt = run(process.execPath, [script], {
      env: { ...env(), PUSHFLEET_TOKEN_SECRET_FILE: `${secretFile}.other` },
    });
    await assert.rejects(attempt, ({ stderr }: { readonly stderr: string }) =>
      /publishing failed: .* 401/.test(stderr),
    );
  });
});
