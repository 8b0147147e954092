import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { until } from '@pushfleet/contract';

interface Line {
  readonly msg: string;
  readonly level: string;
  readonly listener?: string;
  readonly address?: string;
}

/** The testing service as a process, with what it has written so far. */
function start(t: TestContext, env: NodeJS.ProcessEnv = {}) {
  const child: ChildProcess = spawn(process.execPath, [join(import.meta.dirname, 'testing-service.ts')], {
    env: { PATH: process.env.PATH, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  t.after(() => child.kill('SIGKILL'));
  let out = '';
  let err = '';
  child.stdout?.on('data', (chunk: Buffer) => (out += chunk.toString()));
  child.stderr?.on('data', (chunk: Buffer) => (err += chunk.toString()));
  const lines = (): Line[] =>
    out
      .split('\n')
      .slice(0, -1)
      .map((line) => JSON.parse(line) as Line);
  const said = (msg: string): Promise<void> =>
    until(() => lines().some((line) => line.msg === msg), `"${msg}"`);
  const address = (listener: string): string =>
    `http://${lines().find((line) => line.listener === listener)?.address}`;
  const exit = once(child, 'close').then(([code]) => code as number);
  return { child, lines, said, address, exit, stderr: () => err };
}

describe('runService', () => {
  it('listens, says where, is healthy and ready, and has metrics', async (t) => {
    const service = start(t, {
      PUSHFLEET_TESTNG_LISTEN: 'x',
      PUSHFLEET_EDGE_SSE_PORT: 'tcp://10.0.0.1:8081',
    });
    await service.said('started');
    assert.equal(await (await fetch(service.address('http'))).text(), 'hello');
    const ops = service.address('ops');
    const healthy = await fetch(`${ops}/healthz`);
    assert.deepEqual([healthy.status, await healthy.json()], [200, { status: 'ok' }]);
    const ready = await fetch(`${ops}/readyz?verbose`);
    assert.deepEqual([ready.status, await ready.json()], [200, { status: 'ready' }]);
    const metrics = await (await fetch(`${ops}/metrics`)).text();
    for (const name of [
      'process_cpu_seconds_total',
      'process_resident_memory_bytes',
      'pushfleet_event_loop_delay_seconds',
    ]) {
      assert.match(metrics, new RegExp(`^${name}[ {]`, 'm'));
    }
    assert.match(metrics, /^pushfleet_ready 1$/m);
    assert.match(metrics, /^pushfleet_testing_requests_total\{path="\/"\} 1$/m);
    assert.equal((await fetch(`${ops}/other`)).status, 404);
    assert.equal((await fetch(`${ops}/healthz`, { method: 'POST' })).status, 405);
    const warnings = service.lines().filter((line) => line.level === 'warn');
    assert.deepEqual(
      warnings.map((line) => line.msg),
      ['PUSHFLEET_TESTNG_LISTEN is set, but nothing in the fleet reads it.'],
    );
  });

  it('tells the release of the repository, in a metric and when it has started', async (t) => {
    const path = join(import.meta.dirname, '../../../package.json');
    const { version } = JSON.parse(readFileSync(path, 'utf8')) as { readonly version: string };
    const service = start(t);
    await service.said('started');
    assert.partialDeepStrictEqual(
      service.lines().find(({ msg }) => msg === 'started'),
      { version },
    );
    const metrics = await (await fetch(`${service.address('ops')}/metrics`)).text();
    const node = process.versions.node;
    assert.ok(metrics.includes(`\npushfleet_build_info{version="${version}",node="${node}"} 1\n`), metrics);
  });

  it('says why it is not ready, and stays healthy', async (t) => {
    const service = start(t, { PUSHFLEET_TESTING_FAULT: 'not-ready' });
    await service.said('started');
    const answer = await fetch(`${service.address('ops')}/readyz`);
    assert.equal(answer.status, 503);
    assert.deepEqual(await answer.json(), { status: 'not ready', reasons: { http: 'the log is away' } });
    assert.equal((await fetch(`${service.address('ops')}/healthz`)).status, 200);
    assert.match(await (await fetch(`${service.address('ops')}/metrics`)).text(), /^pushfleet_ready 0$/m);
  });

  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    it(`drains at ${signal}, is not ready meanwhile, and exits 0`, async (t) => {
      const service = start(t, { PUSHFLEET_TESTING_FAULT: 'drain', PUSHFLEET_DRAIN_SECONDS: '1' });
      await service.said('started');
      const ops = service.address('ops');
      service.child.kill(signal);
      await service.said('draining');
      assert.equal((await fetch(`${ops}/readyz`)).status, 503);
      assert.equal((await fetch(`${ops}/healthz`)).status, 200);
      assert.equal(await service.exit, 0);
    });
  }

  it('closes at once at a second signal', async (t) => {
    const service = start(t, { PUSHFLEET_TESTING_FAULT: 'drain', PUSHFLEET_DRAIN_SECONDS: '1h' });
    await service.said('started');
    service.child.kill('SIGTERM');
    await service.said('draining');
    service.child.kill('SIGTERM');
    assert.equal(await service.exit, 0);
  });

  it('exits 78 for a wrong configuration, naming all of it for a person', async (t) => {
    const service = start(t, { PUSHFLEET_DRAIN_SECONDS: 'soon', PUSHFLEET_LOG_LEVEL: 'loud' });
    assert.equal(await service.exit, 78);
    assert.match(
      service.stderr(),
      /^testing: The configuration is wrong:\n {2}- PUSHFLEET_DRAIN_SECONDS="soon" .*\n {2}- PUSHFLEET_LOG_LEVEL="loud"/,
    );
  });

  it('exits 1 with one sentence where a part cannot start', async (t) => {
    const other = createServer();
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
    t.after(() => other.close());
    const { port } = other.address() as AddressInfo;
    const service = start(t, { PUSHFLEET_TESTING_LISTEN: `127.0.0.1:${port}` });
    assert.equal(await service.exit, 1);
    assert.match(service.stderr(), new RegExp(`^testing: http could not start: .*EADDRINUSE.*${port}\n$`));
    const busyOps = start(t, { PUSHFLEET_TESTING_OPS_LISTEN: `127.0.0.1:${port}` });
    assert.equal(await busyOps.exit, 1);
    assert.match(busyOps.stderr(), /EADDRINUSE/);
  });

  for (const fault of ['throw', 'reject']) {
    it(`logs and exits 1 at a bug: ${fault}`, async (t) => {
      const service = start(t, { PUSHFLEET_TESTING_FAULT: fault });
      assert.equal(await service.exit, 1);
      const said = service.lines();
      assert.equal(said.at(-1)?.level, 'fatal', `${service.stderr()}${JSON.stringify(said)}`);
    });
  }
});
