import assert from 'node:assert/strict';
import { createHmac, hash } from 'node:crypto';
import { test } from 'node:test';
import { pushfleet } from './testing.ts';
import { verifierOf } from './verifier.ts';

const hmac = (key: Buffer, text: string): Buffer => createHmac('sha256', key).update(text).digest();

test('a verifier takes the proof of RFC 7677 section 3, and proves the server', () => {
  const text = verifierOf('pencil', {
    salt: Buffer.from('W22ZaJ0SNY7soEsUEjb6gQ==', 'base64'),
    iterations: 4_096,
  });
  const [, salt, stored = '', server = ''] = /^SCRAM-SHA-256\$4096:([^$]+)\$([^:]+):(.+)$/.exec(text) ?? [];
  assert.equal(salt, 'W22ZaJ0SNY7soEsUEjb6gQ==');
  const nonce = 'r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0';
  const said = `n=user,r=rOprNGfwEbeRWgbNEkqO,${nonce},s=${salt},i=4096,c=biws,${nonce}`;
  const signature = hmac(Buffer.from(stored, 'base64'), said);
  const proof = Buffer.from('dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=', 'base64');
  const clientKey = proof.map((byte, at) => byte ^ (signature[at] as number));
  assert.equal(hash('sha256', clientKey, 'base64'), stored);
  const proves = hmac(Buffer.from(server, 'base64'), said).toString('base64');
  assert.equal(proves, '6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=');
});

test('pushfleet verifier makes one of the first line, another each time', async () => {
  const make = (...args: string[]) => pushfleet.with({}, 'pencil\nmore')('verifier', ...args).ended;
  const [one, two] = await Promise.all([make(), make('--json', '--iterations', '5000')]);
  assert.match(
    one.stdout,
    /^SCRAM-SHA-256\$4096:[A-Za-z0-9+/]{22}==\$[A-Za-z0-9+/]{43}=:[A-Za-z0-9+/]{43}=\n$/,
  );
  const { verifier } = JSON.parse(two.stdout) as { verifier: string };
  assert.match(verifier, /^SCRAM-SHA-256\$5000:/);
  assert.notEqual(one.stdout.split('$')[1]?.slice(5), verifier.split('$')[1]?.slice(5));
  assert.doesNotMatch(one.stdout + one.stderr, /pencil/);
});

test('what is no password, and too few or too many iterations, are refused', async () => {
  for (const [input, args, words] of [
    ['', [], /one line of printable ASCII/],
    ['\n', [], /one line of printable ASCII/],
    ['pen\u00e7il\n', [], /one line of printable ASCII/],
    ['pencil\n', ['--iterations', '4095'], /4096 to 1000000/],
    ['pencil\n', ['--iterations', '1000001'], /4096 to 1000000/],
  ] as const) {
    const ended = await pushfleet.with({}, input)('verifier', ...args).ended;
    assert.notEqual(ended.code, 0, JSON.stringify(input));
    assert.match(ended.stderr, words);
    assert.equal(ended.stdout, '');
  }
});
