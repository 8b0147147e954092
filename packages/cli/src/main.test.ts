import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { jwtVerify } from 'jose';
import { pushfleet, saysOf } from './testing.ts';

const state = mkdtempSync(join(tmpdir(), 'pushfleet-cli-'));
const secret = 'a secret for tests alone, thirty-two bytes or more';
writeFileSync(join(state, 'secret'), secret);
after(() => rmSync(state, { recursive: true }));

test('every command explains itself and ends with 0', async () => {
  const overview = await pushfleet('--help').ended;
  assert.equal(overview.code, 0);
  for (const name of [
    ...['publish', 'tail', 'history', 'explain', 'delete', 'token'],
    ...['verifier', 'revoke', 'revocations', 'status', 'migrate', 'secrets'],
  ]) {
    assert.match(overview.stdout, new RegExp(`^  ${name}\\b`, 'm'));
    const help = await saysOf(name, '--help');
    assert.equal(help.code, 0, name);
    assert.match(help.stdout, /--json/, name);
  }
});

test('tells its release', async () => {
  const { version } = JSON.parse(
    readFileSync(join(import.meta.dirname, '../../../package.json'), 'utf8'),
  ) as {
    readonly version: string;
  };
  assert.deepEqual(await saysOf('--version'), { code: 0, stdout: `${version}\n`, stderr: '' });
});

const wrong: readonly (readonly [args: string[], words: RegExp])[] = [
  [[], /Usage: pushfleet/],
  [['publsh', 'a'], /Did you mean publish/],
  [['publish'], /missing required argument 'topic'/],
  [['publish', 'a', 'b', 'c'], /too many arguments/],
  [['tail'], /missing required argument 'filters'/],
  [['tail', 'a', '--count', 'many'], /whole number/],
  [['tail', 'a', '--url', 'nonsense'], /A front is a URL/],
  [['history'], /missing required argument 'filters'/],
  [['history', 'a', '--limit', '0'], /whole number/],
  [['history', 'a', '--since', 'lately'], /how long ago/],
  [['history', 'a', '--since', '1h', '--after', 'x'], /not both/],
  [['delete'], /missing required argument 'topic'/],
  [['delete', 'a'], /say --yes to delete all of a/],
  [['explain'], /missing required argument 'id'/],
  [['explain', 'x', '--since', 'lately'], /how long ago/],
  [['token', '--ttl', 'soon', '--publish', 'a'], /90s, 15m, 1h, 7d/],
  [['token'], /without grants/],
  [['token', '--ttl', '31d', '--publish', 'a'], /2592000 s at most \(PUSHFLEET_TOKEN_MAX_LIFETIME\)/],
  [['revoke'], /--sub, --token-id or --connection; or what to lift: --lift/],
  [['revoke', '--sub', 'a', '--lift', 'x'], /Either something is revoked, or --lift/],
  [['revoke', '--sub', 'a', '--for', 'ever'], /90s, 15m, 1h, 7d/],
  [['revoke', 'alice'], /too many arguments/],
  [['revocations', '--url', 'nonsense'], /A front is a URL/],
  [['webhooks'], /Usage: pushfleet webhooks/],
  [['webhooks', 'lst'], /Did you mean list/],
  [['webhooks', 'create', 'a'], /missing required argument 'url'/],
  [['webhooks', 'create', 'a', 'https://b.example', '--format', 'xml'], /binary, structured, verbatim/],
  [['webhooks', 'create', 'a', 'https://b.example', '--header', 'nonsense'], /"Name: value"/],
  [['webhooks', 'replay', 'x'], /--after or --since/],
  [['webhooks', 'rotate', 'x', '--overlap', 'long'], /90s, 15m, 1h, 7d/],
  [['status', '--loud'], /unknown option '--loud'/],
];
for (const [args, words] of wrong) {
  test(`pushfleet ${args.join(' ')}: wrong arguments end with 2 and advice`, async () => {
    const ended = await saysOf(...args);
    assert.equal(ended.code, 2, ended.stderr);
    assert.match(ended.stderr, words);
    assert.equal(ended.stdout, '');
  });
}

test('a shell is told the same', async () => {
  const ended = await pushfleet('status', '--loud').ended;
  assert.equal(ended.code, 2);
  assert.match(ended.stderr, /unknown option '--loud'/);
  assert.equal(ended.stdout, '');
});

test('without a local fleet, what needs one ends with 3 and says how to start it', async () => {
  for (const args of [
    ['status'],
    ['publish', 'a', 'x'],
    ['tail', 'a'],
    ['history', 'a'],
    ['delete', 'a', '--yes'],
    ['explain', 'x'],
    ['revoke', '--sub', 'a'],
    ['revocations'],
    ['webhooks', 'list'],
  ]) {
    const ended = await saysOf(...args, '--state', state);
    assert.equal(ended.code, 3, args.join(' '));
    assert.match(ended.stderr, /npm start/);
  }
});

test('a fleet that does not answer is out of reach: 3', async () => {
  const closed = ['--grpc', '127.0.0.1:1', '--state', state];
  const ended = await pushfleet('publish', 'a', 'x', ...closed).ended;
  assert.equal(ended.code, 3, ended.stderr);
  assert.match(ended.stderr, /^No fleet answers gRPC at 127\.0\.0\.1:1: connect ECONNREFUSED\.$/m);
  const migrated = await pushfleet.with({ PUSHFLEET_NATS_URL: 'nats://127.0.0.1:1' })('migrate').ended;
  assert.equal(migrated.code, 3, migrated.stderr);
});

test('a topic or filter that is none is told as such, not as a fault of the token made for it', async () => {
  for (const args of [
    ['publish', '', 'x'],
    ['publish', 'a/+', 'x'],
    ['tail', ''],
    ['tail', 'a/#/b'],
  ]) {
    const ended = await saysOf(...args, '--state', state);
    assert.equal(ended.code, 1, args.join(' '));
    assert.doesNotMatch(ended.stderr, /token|issuer/, args.join(' '));
  }
});

test('a wrong configuration ends with 2 and names the variable', async () => {
  const ended = await pushfleet.with({ PUSHFLEET_STREAM_SHARDS: 'three' })('migrate').ended;
  assert.equal(ended.code, 2);
  assert.match(ended.stderr, /PUSHFLEET_STREAM_SHARDS="three"/);
});

test('a token holds the subject, namespace and grants asked for, for the time asked for', async () => {
  const grants = ['--publish', 'a', '--publish', 'b/#', '--subscribe', '{sub}/+'];
  const args = ['--sub', 'ann', '--ns', 'team', ...grants, '--ttl', '2m', '--state', state];
  const ended = await pushfleet('token', ...args).ended;
  assert.equal(ended.code, 0, ended.stderr);
  const { payload } = await jwtVerify(ended.stdout.trim(), new TextEncoder().encode(secret));
  assert.equal(payload.sub, 'ann');
  assert.equal(payload.ns, 'team');
  assert.deepEqual(payload.pushfleet, { publish: ['a', 'b/#'], subscribe: ['{sub}/+'] });
  assert.equal((payload.exp as number) - (payload.iat as number), 120);
});

test('a token has the id, issuer and audience that are given', async () => {
  const env = { PUSHFLEET_TOKEN_ISSUER: 'us', PUSHFLEET_TOKEN_AUDIENCE: 'fleet' };
  const args = ['--manage', '#', '--presence', 'a/#', '--id', 'job-7', '--json', '--state', state];
  const ended = await pushfleet.with(env)('token', ...args).ended;
  assert.equal(ended.code, 0, ended.stderr);
  const { token, ...told } = JSON.parse(ended.stdout) as { token: string };
  const { payload } = await jwtVerify(token, new TextEncoder().encode(secret), {
    issuer: 'us',
    audience: 'fleet',
  });
  assert.deepEqual(payload.pushfleet, { manage: ['#'], presence: ['a/#'] });
  assert.equal(payload.jti, 'job-7');
  assert.deepEqual(told, { id: 'job-7', expiresAt: payload.exp, sub: 'pushfleet-cli', ns: 'default' });
});

test('a token for a filter that is none, or without a secret, is refused', async () => {
  const bad = await pushfleet('token', '--publish', 'a#', '--state', state).ended;
  assert.equal(bad.code, 1);
  assert.match(bad.stderr, /"#" stands alone/);
  const none = await pushfleet('token', '--publish', 'a', '--state', join(state, 'nowhere')).ended;
  assert.equal(none.code, 4);
  assert.match(none.stderr, /nowhere.*npm start.*--state/);
});
