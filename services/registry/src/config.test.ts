import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { ConfigError, readConfig } from '@pushfleet/runtime';
import { fields } from './config.ts';

const usual = { PUSHFLEET_TOKEN_SECRET: 'a secret of the tests that is long enough' };

suite('what an operator may say of sessions', () => {
  for (const [name, least, most] of [
    ['PUSHFLEET_SESSIONS', 0, undefined],
    ['PUSHFLEET_SESSION_FILTERS', 1, 10_000],
    ['PUSHFLEET_SESSION_RECORD_BYTES', 1_024, 67_108_864],
    ['PUSHFLEET_SESSION_STATE_BYTES', 1_024, 16_777_216],
    ['PUSHFLEET_SESSION_DEAD_SECONDS', 6, 600],
  ] as const) {
    test(`${name} is at least ${least}${most === undefined ? '' : ` and at most ${most}`}`, () => {
      const read = (value: number) => readConfig(fields, { ...usual, [name]: String(value) });
      const refused = (error: unknown) => error instanceof ConfigError && error.message.includes(name);
      read(least);
      assert.throws(() => read(least - 1), refused);
      if (most === undefined) return;
      read(most);
      assert.throws(() => read(most + 1), refused);
    });
  }
});
