import assert from 'node:assert/strict';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { parseSources } from './debian.ts';
import { findServer, parseVersion, type ServerProgram } from './find.ts';
import { isFree, withFreePorts } from './port.ts';

const root = mkdtempSync(join(tmpdir(), 'pushfleet servers-'));
after(() => rmSync(root, { recursive: true }));

const versions: readonly (readonly [text: string, version: [number, number] | undefined])[] = [
  ['nats-server: v2.15.1', [2, 15]],
  ['Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64', [7, 0]],
  ['nats-server: v2.12.0-beta.1', [2, 12]],
  ['no version here', undefined],
];
for (const [text, version] of versions) {
  test(`the version in ${JSON.stringify(text)}`, () => assert.deepEqual(parseVersion(text), version));
}

/** A program that does nothing but tell a version. */
function fake(folder: string, version: string): string {
  mkdirSync(folder, { recursive: true });
  const path = join(folder, 'broker');
  writeFileSync(path, `#!/bin/sh\necho "broker: v${version}"\n`);
  chmodSync(path, 0o755);
  return path;
}

const program = (...sources: ServerProgram['sources']): ServerProgram => ({
  name: 'broker',
  variable: 'PUSHFLEET_BROKER',
  oldest: [2, 12],
  sources,
  advice: 'Install a broker.',
});

const find = (from: ServerProgram, env: NodeJS.ProcessEnv, at = root): Promise<string> =>
  findServer(from, { root: at, progress: () => {}, env: { PATH: '', ...env } });

test('the variable names the program, and one that is too old is not used in silence', async () => {
  const path = fake(join(root, 'named'), '2.12.3');
  assert.equal(await find(program(), { PUSHFLEET_BROKER: path }), path);
  const old = fake(join(root, 'old'), '2.9.9');
  await assert.rejects(
    find(program(), { PUSHFLEET_BROKER: old }),
    /PUSHFLEET_BROKER.*is 2\.9; 2\.12 or newer/,
  );
});

test('the first program on the PATH that is new enough is taken', async () => {
  const old = join(root, 'path/old');
  const recent = join(root, 'path/recent');
  fake(old, '2.9.9');
  const path = fake(recent, '3.0.0');
  assert.equal(await find(program(), { PATH: `${old}:${join(root, 'nowhere')}:${recent}` }), path);
});

test('a program is brought once, although two ask at the same time, and found there afterwards', async () => {
  let times = 0;
  const bringing = program(async (target) => {
    times++;
    fake(target, '2.15.0');
    return undefined;
  });
  const at = join(root, 'brings');
  const path = join(at, '.pushfleet/broker/broker');
  assert.deepEqual(await Promise.all([find(bringing, {}, at), find(bringing, {}, at)]), [path, path]);
  assert.equal(times, 1);
  assert.equal(await find(program(), {}, at), path);
});

test('half a download is never used, and the reasons of every source are told with the advice', async () => {
  const at = join(root, 'fails');
  const half = program(
    async () => 'this machine has no such packages',
    async (target) => {
      fake(target, '2.15.0');
      throw new Error('the line was cut');
    },
    async (target) => {
      fake(target, '1.0.0');
      return undefined;
    },
  );
  await assert.rejects(find(half, {}, at), (error: Error) => {
    assert.match(error.message, /Install a broker/);
    assert.match(error.message, /no such packages.*line was cut.*is 1\.0/s);
    return true;
  });
  assert.equal(existsSync(join(at, '.pushfleet/broker')), false);
});

test('sources of packages are read in both formats', () => {
  const deb822 = `# made by hand
Types: deb deb-src
URIs: http://deb.example.org/debian
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/debian.gpg

Types: deb
Enabled: no
URIs: http://off.example.org/debian
Suites: sid
Components: main
`;
  const expected = {
    uri: 'http://deb.example.org/debian',
    suites: ['bookworm', 'bookworm-updates'],
    components: ['main', 'contrib'],
    signedBy: '/usr/share/keyrings/debian.gpg',
  };
  assert.deepEqual(parseSources(deb822), [expected]);
  const lines = `
# deb http://off.example.org/debian sid main
deb-src http://deb.example.org/debian bookworm main
deb [arch=amd64 signed-by=/k.gpg] https://deb.example.org/debian bookworm main contrib # the mirror
deb http://deb.example.org/debian trixie main
`;
  assert.deepEqual(parseSources(lines), [
    {
      uri: 'https://deb.example.org/debian',
      suites: ['bookworm'],
      components: ['main', 'contrib'],
      signedBy: '/k.gpg',
    },
    { uri: 'http://deb.example.org/debian', suites: ['trixie'], components: ['main'], signedBy: undefined },
  ]);
});

test('a port that somebody takes first is given up for another', async () => {
  let attempts = 0;
  const [port] = await withFreePorts(1, async (ports) => {
    if (++attempts === 1) throw new Error('listen tcp 127.0.0.1: bind: address already in use');
    return ports;
  });
  assert.equal(attempts, 2);
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  assert.equal(await isFree(port as number), false);
  server.close();
});
