import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { ConfigError, readConfig, unknownVariables } from './config.ts';
import { type Field, field } from './field.ts';
import { internalFields, sharedFields, tokenFields } from './shared-fields.ts';

const o = { env: 'PUSHFLEET_X', doc: 'An example.', optional: true } as const;

function read<T>(declared: Field<T>, text: string): T {
  return readConfig({ value: declared }, { PUSHFLEET_X: text }).value;
}

const good: readonly (readonly [what: string, declared: Field<unknown>, text: string, value: unknown])[] = [
  ['text', field.text(o), ' as it is ', ' as it is '],
  ['integer', field.integer(o), '42', 42],
  ['integer, lower bound', field.integer({ ...o, min: 1, max: 3 }), '1', 1],
  ['integer, upper bound', field.integer({ ...o, min: 1, max: 3 }), '3', 3],
  ['negative integer', field.integer(o), '-7', -7],
  ['duration, plain', field.duration(o), '30', 30_000],
  ['duration, zero', field.duration({ ...o, min: 0 }), '0', 0],
  ['duration, fraction', field.duration(o), '0.25', 250],
  ['duration, ms', field.duration(o), '500ms', 500],
  ['duration, s', field.duration(o), '30s', 30_000],
  ['duration, m', field.duration(o), '5m', 300_000],
  ['duration, h', field.duration(o), '2h', 7_200_000],
  ['duration, d', field.duration(o), '7d', 604_800_000],
  ['bytes, plain', field.bytes(o), '1000', 1_000],
  ['bytes, KiB', field.bytes(o), '64KiB', 65_536],
  ['bytes, MiB', field.bytes(o), '1.5MiB', 1_572_864],
  ['bytes, GiB', field.bytes(o), '2GiB', 2_147_483_648],
  ['boolean', field.boolean(o), 'true', true],
  ['boolean, false', field.boolean(o), 'false', false],
  ['address', field.address(o), '127.0.0.1:8080', { host: '127.0.0.1', port: 8080 }],
  ['address, name', field.address(o), 'localhost:0', { host: 'localhost', port: 0 }],
  ['address, IPv6', field.address(o), '[::1]:65535', { host: '::1', port: 65_535 }],
  ['list', field.list(o), ' a, b ,,c', ['a', 'b', 'c']],
  ['url', field.url({ ...o, schemes: ['redis', 'rediss'] }), 'rediss://h:1', 'rediss://h:1'],
  ['secret', field.secret({ ...o, min: 4 }), 'äää', 'äää'],
  ['choice', field.choice({ ...o, choices: ['a', 'b'] }), 'b', 'b'],
  ['parsed', field.parsed({ ...o, rule: 'a list', example: '[]' }, JSON.parse), '[1]', [1]],
];

const bad: readonly (readonly [what: string, declared: Field<unknown>, text: string])[] = [
  ['integer, word', field.integer(o), 'ten'],
  ['integer, fraction', field.integer(o), '1.5'],
  ['integer, exponent', field.integer(o), '1e3'],
  ['integer, unsafe', field.integer(o), '9007199254740993'],
  ['integer, too small', field.integer({ ...o, min: 1 }), '0'],
  ['integer, too large', field.integer({ ...o, max: 3 }), '4'],
  ['integer, blank around', field.integer(o), ' 1'],
  ['duration, unit', field.duration(o), '5 minutes'],
  ['duration, other unit', field.duration(o), '5w'],
  ['duration, prototype as unit', field.duration(o), '5constructor'],
  ['duration, negative', field.duration(o), '-1'],
  ['duration, too long', field.duration({ ...o, max: 60 }), '2m'],
  ['bytes, decimal unit', field.bytes(o), '5MB'],
  ['boolean, yes', field.boolean(o), 'yes'],
  ['boolean, case', field.boolean(o), 'True'],
  ['address, no port', field.address(o), '127.0.0.1'],
  ['address, no host', field.address(o), ':80'],
  ['address, port too large', field.address(o), '127.0.0.1:65536'],
  ['address, URL', field.address(o), 'http://127.0.0.1:80'],
  ['address, bare IPv6', field.address(o), '::1:80'],
  ['url, scheme', field.url({ ...o, schemes: ['https'] }), 'http://h'],
  ['url, none', field.url({ ...o, schemes: ['https'] }), 'host:1'],
  ['secret, short', field.secret({ ...o, min: 4 }), 'abc'],
  ['choice', field.choice({ ...o, choices: ['a', 'b'] }), 'c'],
  ['parsed', field.parsed({ ...o, rule: 'a list', example: '[]' }, JSON.parse), '['],
];

describe('fields', () => {
  for (const [what, declared, text, value] of good) {
    it(`reads ${what}: ${JSON.stringify(text)}`, () => assert.deepEqual(read(declared, text), value));
  }
  for (const [what, declared, text] of bad) {
    it(`refuses ${what}: ${JSON.stringify(text)}`, () => {
      assert.throws(() => read(declared, text), {
        name: 'ConfigError',
        message: /PUSHFLEET_X.* must be .*, for example PUSHFLEET_X(_FILE)?=/,
      });
    });
  }
});

describe('readConfig', () => {
  const fields = {
    port: field.integer({ env: 'PUSHFLEET_A', doc: 'The first.', min: 1, max: 9, fallback: 5 }),
    key: field.secret({ env: 'PUSHFLEET_B', doc: 'The second.', min: 8 }),
    level: field.choice({ env: 'PUSHFLEET_C', doc: 'The third.', choices: ['x', 'y'], optional: true }),
  };

  it('takes fallbacks, leaves optional values out, and freezes', () => {
    const config = readConfig(fields, { PUSHFLEET_B: 'long enough' });
    assert.deepEqual({ ...config }, { port: 5, key: 'long enough', level: undefined });
    assert.ok(Object.isFrozen(config));
  });

  it('takes an empty variable for an absent one', () => {
    const env = { PUSHFLEET_A: '', PUSHFLEET_B: 'long enough', PUSHFLEET_B_FILE: '', PUSHFLEET_C: '' };
    assert.deepEqual({ ...readConfig(fields, env) }, { port: 5, key: 'long enough', level: undefined });
  });

  it('names every wrong variable at once, with value, rule and example, and no secret', () => {
    const env = { PUSHFLEET_A: '10', PUSHFLEET_B: 'hunter2', PUSHFLEET_C: 'z' };
    assert.throws(
      () => readConfig(fields, env),
      (error) => {
        assert.ok(error instanceof ConfigError);
        assert.deepEqual(error.problems, [
          'PUSHFLEET_A="10" must be a whole number from 1 to 9, for example PUSHFLEET_A=5.',
          'PUSHFLEET_B must be a secret of at least 8 bytes, for example PUSHFLEET_B_FILE=/run/secrets/b.',
          'PUSHFLEET_C="z" must be one of x, y, for example PUSHFLEET_C=x.',
        ]);
        assert.ok(!error.message.includes('hunter2'));
        return true;
      },
    );
  });

  it('names a variable that is required and absent', () => {
    assert.throws(() => readConfig(fields, {}), /PUSHFLEET_B is not set\. The second\. Give a secret/);
  });

  it('shows no user and password of a URL that is wrong', () => {
    const url = field.url({ env: 'PUSHFLEET_U', doc: '', schemes: ['redis'] });
    assert.throws(
      () => readConfig({ url }, { PUSHFLEET_U: 'http://me:hunter2@host' }),
      (error: Error) => error.message.includes('"http://…@host"') && !error.message.includes('hunter2'),
    );
  });
});

describe('_FILE', () => {
  const folder = mkdtempSync(join(tmpdir(), 'pushfleet-config-'));
  after(() => rmSync(folder, { recursive: true }));
  const path = join(folder, 'secret');
  const fields = {
    key: field.secret({ env: 'PUSHFLEET_B', doc: 'A secret.', min: 8 }),
    plain: field.text({ env: 'PUSHFLEET_P', doc: 'A text.', optional: true }),
  };

  it('reads the file without its last line break', () => {
    writeFileSync(path, 'long enough\n');
    assert.equal(readConfig(fields, { PUSHFLEET_B_FILE: path }).key, 'long enough');
  });

  it('names the file variable, not the contents, where they are wrong', () => {
    writeFileSync(path, 'hunter2');
    assert.throws(
      () => readConfig(fields, { PUSHFLEET_B_FILE: path }),
      (error: Error) => /PUSHFLEET_B_FILE must be/.test(error.message) && !error.message.includes('hunter2'),
    );
  });

  it('says which file cannot be read', () => {
    assert.throws(
      () => readConfig(fields, { PUSHFLEET_B_FILE: join(folder, 'absent') }),
      /PUSHFLEET_B_FILE=".*absent" cannot be read \(ENOENT\)/,
    );
  });

  it('refuses both forms at once', () => {
    const env = { PUSHFLEET_B: 'long enough', PUSHFLEET_B_FILE: path };
    assert.throws(() => readConfig(fields, env), /both set/);
  });

  it('is not read for a field without it', () => {
    assert.equal(readConfig({ plain: fields.plain }, { PUSHFLEET_P_FILE: path }).plain, undefined);
  });
});

describe('unknownVariables', () => {
  it('warns about a name nobody reads, with the nearest known one', () => {
    assert.deepEqual(unknownVariables({ PUSHFLEET_TOKEN_SECRT: 'x' }), [
      'PUSHFLEET_TOKEN_SECRT is set, but nothing in the fleet reads it. Did you mean PUSHFLEET_TOKEN_SECRET?',
    ]);
    assert.deepEqual(unknownVariables({ PUSHFLEET_NOTHING_LIKE_IT: 'x' }), [
      'PUSHFLEET_NOTHING_LIKE_IT is set, but nothing in the fleet reads it.',
    ]);
  });

  it('knows every shared variable and its file form, and minds its own names alone', () => {
    const names = sharedFields.flatMap(({ fields }) =>
      Object.values<Field<unknown>>(fields).flatMap(({ env, file }) => (file ? [env, `${env}_FILE`] : [env])),
    );
    assert.deepEqual(
      unknownVariables(Object.fromEntries([...names, 'PATH', 'PUSHFLEETX'].map((n) => [n, 'x']))),
      [],
    );
  });

  it('ignores what Kubernetes injects for Services', () => {
    const injected = {
      PUSHFLEET_EDGE_SSE_PORT: 'tcp://10.0.0.1:8081',
      PUSHFLEET_EDGE_SSE_SERVICE_HOST: '10.0.0.1',
      PUSHFLEET_EDGE_SSE_SERVICE_PORT: '8081',
      PUSHFLEET_EDGE_SSE_SERVICE_PORT_HTTP: '8081',
      PUSHFLEET_EDGE_SSE_PORT_8081_TCP: 'tcp://10.0.0.1:8081',
      PUSHFLEET_EDGE_SSE_PORT_8081_TCP_PROTO: 'tcp',
      PUSHFLEET_EDGE_SSE_PORT_8081_TCP_PORT: '8081',
      PUSHFLEET_EDGE_SSE_PORT_8081_TCP_ADDR: '10.0.0.1',
      PUSHFLEET_EDGE_COAP_PORT_5683_UDP_ADDR: '10.0.0.1',
    };
    assert.deepEqual(unknownVariables(injected), []);
  });
});

it('shared secrets are one declaration, so that both groups read the same', () => {
  assert.equal(internalFields.tokenSecret, tokenFields.tokenSecret);
});
