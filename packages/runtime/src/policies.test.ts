import assert from 'node:assert/strict';
import {
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { until } from '@pushfleet/contract';
import { covers, matches, type Namespace, type Topic, type TopicFilter } from '@pushfleet/core';
import fc from 'fast-check';
import { ConfigError } from './config.ts';
import { createLog } from './log.ts';
import { createPolicies } from './policies.ts';
import { parsePolicies, policyFileBytes } from './policy-file.ts';
import { PolicyTable } from './policy-table.ts';

import { FileError } from './watched-file.ts';

const shop = 'shop' as Namespace;
const table = (file: object) => new PolicyTable(parsePolicies(JSON.stringify(file)));
const of = (policies: PolicyTable, topic: string, namespace = 'shop') =>
  policies.of(namespace as Namespace, topic as Topic);
const retention = (policies: PolicyTable, filter: string, namespace = 'shop') =>
  policies.retentionMs(namespace as Namespace, filter as TopicFilter);

describe('what holds', () => {
  const policies = table({
    topics: [
      { namespace: 'shop', filter: 'orders/eu', maxBytes: 10 },
      { filter: 'orders/#', retention: 60, rate: 5 },
      { namespace: 'bank', filter: 'orders/#', rate: 7 },
      { namespace: '*', filter: 'silent/+', history: false, presence: false },
    ],
    quotas: [
      { namespace: 'shop', connections: 3 },
      { namespace: 'shop', connections: 4 },
      { namespace: '*', publishRate: 9 },
      { namespace: 'bank', publishRate: 10 },
    ],
  });

  test('for a topic is the first entry that matches, and nothing of the others', () => {
    assert.deepEqual(of(policies, 'orders/eu'), {
      namespace: 'shop',
      filter: 'orders/eu',
      maxBytes: 10,
      history: true,
      presence: true,
    });
    assert.equal(of(policies, 'orders/eu', 'bank').rate, 5);
    assert.equal(of(policies, 'orders').retentionMs, 60_000);
    assert.deepEqual([of(policies, 'silent/a').history, of(policies, 'silent/a').presence], [false, false]);
    assert.deepEqual(of(policies, 'other'), { history: true, presence: true });
    assert.equal(of(policies, 'orders/us'), of(policies, 'orders/de'), 'the same object');
  });

  test('strangers find a topic where the first entry makes it public that holds for it in its namespace', () => {
    const policies = table({
      topics: [
        { namespace: 'shop', filter: 'news/secret' },
        { namespace: 'bank', filter: 'rates/+', public: true },
        { namespace: 'shop', filter: 'news/#', public: true, retention: 60 },
        { namespace: 'bank', filter: 'news/#', public: true },
        { namespace: 'shop', filter: 'rates/eur', public: true },
      ],
    });
    const publicIn = (topic: string) => policies.publicIn(topic as Topic);
    assert.equal(publicIn('news/today'), 'shop');
    assert.equal(publicIn('news'), 'shop');
    assert.equal(publicIn('news/secret'), 'bank', 'an entry before it keeps that of the shop');
    assert.equal(publicIn('rates/eur'), 'bank');
    assert.equal(publicIn('orders'), undefined);
    assert.equal(publicIn('$hooks/news'), undefined);
    assert.equal(table({ topics: [{ filter: '#' }] }).publicIn('a' as Topic), undefined);
    assert.equal(of(policies, 'news/today').public, true);
  });

  test('for a feed is what is declared by its URL, to the letter', () => {
    const feed = { namespace: 'shop', topic: 'news/blog', url: 'https://blog.example/feed?a=b' };
    const policies = table({ feeds: [feed] });
    assert.deepEqual(policies.feedAt(feed.url), feed);
    for (const other of [`${feed.url}&`, 'https://BLOG.example/feed?a=b', ''])
      assert.equal(policies.feedAt(other), undefined, other);
  });

  test('for a namespace is the first entry of it or of all', () => {
    assert.deepEqual(policies.quota(shop), { connections: 3 });
    assert.deepEqual(policies.quota('bank' as Namespace), { publishRate: 9 });
    assert.deepEqual(table({}).quota(shop), {});
  });

  test('for what a filter matches is the shortest retention that can apply', () => {
    assert.equal(retention(policies, 'orders/#'), 60_000);
    assert.equal(retention(policies, '+/us'), 60_000);
    assert.equal(retention(policies, 'orders/eu'), undefined, 'the first entry has none');
    assert.equal(retention(policies, 'orders/eu', 'bank'), 60_000);
    assert.equal(
      retention(policies, 'silent/a'),
      undefined,
      'without history nothing of the past is promised',
    );
    assert.equal(retention(policies, '#'), 60_000);
    assert.equal(retention(policies, 'other/#'), undefined);
    assert.equal(retention(policies, '$fleet/#'), undefined);
  });

  test('a retention is never longer than that of a topic the filter matches', () => {
    const level = fc.constantFrom('a', 'b', '+');
    const filter = fc
      .tuple(fc.array(level, { minLength: 1, maxLength: 3 }), fc.constantFrom('', '/#'))
      .map(([levels, end]) => levels.join('/') + end) as fc.Arbitrary<TopicFilter>;
    const topic = fc
      .array(fc.constantFrom('a', 'b', 'c'), { minLength: 1, maxLength: 4 })
      .map((levels) => levels.join('/')) as fc.Arbitrary<Topic>;
    const entry = fc.record(
      { filter, retention: fc.integer({ min: 1, max: 9 }) },
      { requiredKeys: ['filter'] },
    );
    fc.assert(
      fc.property(fc.array(entry, { maxLength: 6 }), filter, topic, (topics, wanted, name) => {
        fc.pre(matches(wanted, name));
        const policies = table({ topics });
        const own = policies.of(shop, name).retentionMs ?? Number.POSITIVE_INFINITY;
        assert.ok((policies.retentionMs(shop, wanted) ?? Number.POSITIVE_INFINITY) <= own);
        if (topics[0] !== undefined && covers(topics[0].filter, wanted)) {
          assert.equal(policies.retentionMs(shop, wanted), policies.of(shop, name).retentionMs);
        }
      }),
      { numRuns: 3_000 },
    );
  });
});

describe('what is wrong with a file', () => {
  const feed = { namespace: 'a', topic: 'a', url: 'https://a.example/' };
  const problems = (file: unknown): readonly string[] => {
    try {
      parsePolicies(typeof file === 'string' ? file : JSON.stringify(file));
      return [];
    } catch (error) {
      assert.ok(error instanceof FileError);
      return error.problems;
    }
  };

  for (const [file, complaint] of [
    ['{', /^It is not JSON/],
    [[], /^It must be an object/],
    [{ topic: [] }, /^the file has "topic".*topics, quotas, feeds/],
    [{ topics: {} }, /^"topics" is {}; it must be a list of at most 1000/],
    [{ topics: [7] }, /^topics\[0\] is 7; it must be an object/],
    [{ topics: [{}] }, /^topics\[0\]\.filter is absent; it must be a topic filter/],
    [{ topics: [{ filter: 'a#' }] }, /^topics\[0\]\.filter: "#" stands alone/],
    [{ topics: [{ filter: 'a', retenton: 3 }] }, /^topics\[0\] has "retenton".*retention, maxBytes/],
    [{ topics: [{ filter: 'a', retention: '1h' }] }, /^topics\[0\]\.retention is "1h"; .* from 1 to/],
    [{ topics: [{ filter: 'a', retention: 0 }] }, /^topics\[0\]\.retention is 0/],
    [{ topics: [{ filter: 'a', maxBytes: -1 }] }, /^topics\[0\]\.maxBytes is -1/],
    [{ topics: [{ filter: 'a', rate: 0.5 }] }, /^topics\[0\]\.rate is 0\.5/],
    [{ topics: [{ filter: 'a', history: 'no' }] }, /^topics\[0\]\.history is .*true or false/],
    [{ topics: [{ filter: 'a', namespace: 'a b' }] }, /^topics\[0\]\.namespace is "a b"/],
    [{ topics: [{ filter: 'a', public: 1 }] }, /^topics\[0\]\.public is 1; it must be true or false/],
    [{ topics: [{ filter: 'a', public: true }] }, /^topics\[0\]\.public .*name one namespace/],
    [
      { topics: [{ namespace: '*', filter: 'a', public: true }] },
      /^topics\[0\]\.public .*name one namespace/,
    ],
    [{ topics: [{ namespace: 'a', filter: '$a/#', public: true }] }, /^topics\[0\]\.public .*never public/],
    [{ quotas: [{ connections: 1 }] }, /^quotas\[0\]\.namespace is absent/],
    [{ quotas: [{ namespace: 'a', storedBytes: '1GiB' }] }, /^quotas\[0\]\.storedBytes is/],
    [{ quotas: [{ namespace: 'a', rate: 1 }] }, /^quotas\[0\] has "rate"/],
    [{ feeds: [{ ...feed, topic: 'a/#' }] }, /^feeds\[0\]\.topic: /],
    [{ feeds: [{ ...feed, topic: '$hooks/a' }] }, /^feeds\[0\]\.topic is "\$hooks\/a"/],
    [{ feeds: [{ ...feed, namespace: '*' }] }, /^feeds\[0\]\.namespace is "\*"; it must be one/],
    [{ feeds: [{ ...feed, namespace: undefined }] }, /^feeds\[0\]\.namespace is absent/],
    [{ feeds: [{ ...feed, every: 60 }] }, /^feeds\[0\] has "every"/],
    [{ feeds: [feed, { ...feed, topic: 'b' }] }, /^"feeds" has "https:\/\/a\.example\/" twice/],
    [{ feeds: [{ ...feed, url: feed.url.padEnd(257, 'x') }] }, /^feeds\[0\]\.url .*at most 256/],
    ...[
      ...[
        '',
        'a',
        '/feed',
        'ftp://a.example/',
        'https://a.example',
        'https://A.example/',
        'https://a.example:443/',
      ],
      ...[
        'https://a.example/a b',
        'https://a.example/#',
        'https://u@a.example/',
        'https://u:p@a.example/',
        'https://:p@a.example/',
        7,
      ],
    ].map((url) => [{ feeds: [{ ...feed, url }] }, /^feeds\[0\]\.url is .*in its normal form/] as const),
  ] as const) {
    test(JSON.stringify(file), () => {
      const [first, ...more] = problems(file);
      assert.match(first ?? 'nothing', complaint);
      assert.deepEqual(more, []);
    });
  }

  test('is told in full, up to twenty', () => {
    const topics = Array.from({ length: 30 }, () => ({ filter: '' }));
    assert.equal(problems({ topics: topics.slice(0, 3) }).length, 3);
    assert.equal(problems({ topics }).length, 21);
  });

  test('a feed of 256 characters is taken', () => {
    assert.deepEqual(problems({ feeds: [{ ...feed, url: feed.url.padEnd(256, 'x') }] }), []);
  });

  test('a thousand entries are taken, one more is not', () => {
    const topics = (length: number) => Array.from({ length }, (_, i) => ({ filter: `a/${i}` }));
    assert.deepEqual(problems({ topics: topics(1_000) }), []);
    assert.match(problems({ topics: topics(1_001) })[0] ?? '', /has 1001 entries/);
  });

  test('whatever the file is, it is read or refused', () => {
    fc.assert(fc.property(fc.jsonValue(), (value) => void problems(value)));
    fc.assert(fc.property(fc.string(), (text) => void problems(text)));
  });
});

/** A file of policies that is looked at as often as `until` asks. */
function watched(t: TestContext, path: string) {
  t.mock.timers.enable({ apis: ['setInterval'] });
  const lines: string[] = [];
  const log = createLog({ name: 'test', destination: { write: (line) => void lines.push(line) } });
  const outcomes: string[] = [];
  const counter = () => ({ add: (_: number, { outcome }: { outcome: string }) => outcomes.push(outcome) });
  const metrics = { counter } as unknown as NonNullable<Parameters<typeof createPolicies>[0]['metrics']>;
  const policies = createPolicies({ file: path, log, metrics });
  void policies.start();
  t.after(() => policies.close());
  const eventually = (condition: () => boolean, what: string) =>
    until(() => {
      t.mock.timers.tick(1_000);
      return condition();
    }, what);
  const connections = () => policies.quota(shop).connections;
  return { policies, lines, outcomes, eventually, connections };
}

const limited = (connections: number) => JSON.stringify({ quotas: [{ namespace: 'shop', connections }] });

function folder(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'pushfleet-policies-'));
  t.after(() => rmSync(path, { recursive: true }));
  return path;
}

describe('the file', () => {
  test('is read at the start, and again when it changes', async (t) => {
    const path = join(folder(t), 'policies.json');
    writeFileSync(path, limited(1));
    const { connections, eventually, outcomes } = watched(t, path);
    assert.equal(connections(), 1);
    writeFileSync(path, limited(2));
    await eventually(() => connections() === 2, 'the new limit');
    assert.deepEqual(outcomes, ['changed']);
  });

  test('may be a ConfigMap, whose symlinks are exchanged', async (t) => {
    const root = folder(t);
    const version = (name: string, connections: number) => {
      mkdirSync(join(root, name));
      writeFileSync(join(root, name, 'policies.json'), limited(connections));
      symlinkSync(name, join(root, '..data_tmp'));
      renameSync(join(root, '..data_tmp'), join(root, '..data'));
    };
    version('..one', 1);
    symlinkSync(join('..data', 'policies.json'), join(root, 'policies.json'));
    const { connections, eventually } = watched(t, join(root, 'policies.json'));
    assert.equal(connections(), 1);
    version('..two', 2);
    rmSync(join(root, '..one'), { recursive: true });
    await eventually(() => connections() === 2, 'the new limit');
  });

  test('half written, wrong or gone leaves the old policies in force, says so once, and is read once it is right', async (t) => {
    const path = join(folder(t), 'policies.json');
    writeFileSync(path, limited(1));
    const { connections, eventually, lines, outcomes } = watched(t, path);
    const troubles = () => lines.filter((line) => line.includes('the old ones stay'));
    writeFileSync(path, limited(2).slice(0, 20));
    await eventually(() => troubles().length === 1, 'a complaint about the half');
    assert.match(troubles()[0] ?? '', /not JSON/);
    unlinkSync(path);
    await eventually(() => troubles().length === 2, 'a complaint about the missing file');
    assert.match(troubles()[1] ?? '', /ENOENT/);
    writeFileSync(path, '{"quotas":[{"namespace":"shop","connections":-1}]}');
    await eventually(() => troubles().length === 3, 'a complaint about the wrong one');
    assert.match(troubles()[2] ?? '', /quotas\[0\]\.connections is -1/);
    assert.equal(connections(), 1);
    writeFileSync(path, limited(3));
    await eventually(() => connections() === 3, 'the new limit');
    assert.equal(troubles().length, 3);
    assert.deepEqual(outcomes, ['refused', 'refused', 'refused', 'changed']);
  });

  test('that is wrong at the start is refused, with its name', (t) => {
    const path = join(folder(t), 'policies.json');
    const start = () => createPolicies({ file: path, log: createLog({ name: 'test', level: 'silent' }) });
    const refused = (pattern: RegExp) => (error: Error) =>
      error instanceof ConfigError && error.message.includes(path) && pattern.test(error.message);
    assert.throws(start, refused(/ENOENT/));
    writeFileSync(path, '{"topics":[{"filter":"a","rate":-1}]}');
    assert.throws(start, refused(/topics\[0\]\.rate is -1/));
    writeFileSync(path, Buffer.from([0x22, 0xff, 0x22]));
    assert.throws(start, refused(/UTF-8/));
    writeFileSync(path, `{}${' '.repeat(policyFileBytes - 1)}`);
    assert.throws(start, refused(/1048577 bytes/));
    writeFileSync(path, `{}${' '.repeat(policyFileBytes - 2)}`);
    start();
    rmSync(path);
    mkdirSync(path);
    assert.throws(start, refused(/not a file/));
  });

  test('of the checkout, as an example, is right', () => {
    const text = readFileSync(new URL('../../../deploy/policies.example.json', import.meta.url), 'utf8');
    const { topics, quotas } = parsePolicies(text);
    assert.ok(topics.length > 0 && quotas.length > 0);
  });
});

test('without a file nothing is limited', async () => {
  const policies = createPolicies({ file: undefined, log: createLog({ name: 'test', level: 'silent' }) });
  await policies.start();
  assert.deepEqual(policies.of(shop, 'a' as Topic), { history: true, presence: true });
  assert.deepEqual(policies.quota(shop), {});
  await policies.close();
});
