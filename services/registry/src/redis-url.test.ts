import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseRedisUrl } from './redis-url.ts';

const none = { tls: false, username: undefined, password: undefined, master: undefined, database: 0 };

describe('parseRedisUrl', () => {
  for (const [text, expected] of [
    ['redis://cache', { ...none, kind: 'standalone', nodes: [{ host: 'cache', port: 6_379 }] }],
    [
      'rediss://user:p%40ss@cache:7000/3',
      {
        ...none,
        kind: 'standalone',
        tls: true,
        nodes: [{ host: 'cache', port: 7_000 }],
        username: 'user',
        password: 'p@ss',
        database: 3,
      },
    ],
    [
      'redis://:secret:with:colons@[::1]:6380',
      { ...none, kind: 'standalone', nodes: [{ host: '::1', port: 6_380 }], password: 'secret:with:colons' },
    ],
    [
      'redis+sentinel://one,two:26380/mymaster/2',
      {
        ...none,
        kind: 'sentinel',
        nodes: [
          { host: 'one', port: 26_379 },
          { host: 'two', port: 26_380 },
        ],
        master: 'mymaster',
        database: 2,
      },
    ],
    [
      'rediss+cluster://one:7000,two',
      {
        ...none,
        kind: 'cluster',
        tls: true,
        nodes: [
          { host: 'one', port: 7_000 },
          { host: 'two', port: 6_379 },
        ],
      },
    ],
  ] as const) {
    it(`reads ${text}`, () => assert.deepEqual(parseRedisUrl(text), expected));
  }

  for (const text of [
    '',
    'cache:6379',
    'http://cache',
    'redis://',
    'redis://:hunter2@one,two',
    'redis://:hunter2@cache:99999',
    'redis://:hunter2@cache/db',
    'redis://:hunter2@cache/1/2',
    'redis://:hunter2@cache?x=1',
    'redis://:hunter2%@cache',
    'redis+sentinel://:hunter2@one',
    'redis+cluster://:hunter2@one/1',
    'redis://:hunter2@ca che',
  ]) {
    it(`refuses ${JSON.stringify(text)} and keeps the password to itself`, () => {
      assert.throws(
        () => parseRedisUrl(text),
        (error: Error) => error.message !== '' && !error.message.includes('hunter2'),
      );
    });
  }
});
