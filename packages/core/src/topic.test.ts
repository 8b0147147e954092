import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { PushfleetError } from './error.ts';
import { limits } from './limits.ts';
import {
  covers,
  isExact,
  matches,
  overlaps,
  parseTopic,
  parseTopicFilter,
  type Topic,
  type TopicFilter,
} from './topic.ts';

const level = fc.constantFrom('', 'a', 'b', 'c', '.', ' ', '$x');
const topic = fc
  .array(level, { minLength: 1, maxLength: 5 })
  .map((levels) => levels.join('/'))
  .filter((text) => text !== '') as fc.Arbitrary<Topic>;
const filter = fc
  .tuple(
    fc.array(fc.oneof(level, fc.constant('+')), { minLength: 1, maxLength: 4 }),
    fc.constantFrom('', '#', '/#'),
  )
  .map(([levels, end]) => (end === '#' ? '#' : levels.join('/') + end))
  .filter((text) => text !== '') as fc.Arbitrary<TopicFilter>;

const refused = (code: string) => (error: unknown) => error instanceof PushfleetError && error.code === code;

/** The rule of MQTT 5.0 section 4.7, written a second time as a regular expression. */
function oracle(wanted: TopicFilter, name: Topic): boolean {
  if (name.startsWith('$') && /^[+#]/.test(wanted)) return false;
  const literal = (text: string) => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
  if (wanted === '#') return true;
  const parts = wanted.split('/');
  const open = parts.at(-1) === '#';
  const body = (open ? parts.slice(0, -1) : parts)
    .map((part) => (part === '+' ? '[^/]*' : literal(part)))
    .join('/');
  return new RegExp(`^${body}${open ? '(/.*)?' : ''}$`, 's').test(name);
}

describe('matching', () => {
  for (const [wanted, name, expected] of [
    ['a/b', 'a/b', true],
    ['a/b', 'a/b/', false],
    ['a/+', 'a/', true],
    ['a/+', 'a', false],
    ['+/+', '/', true],
    ['/+', '/finance', true],
    ['a/#', 'a', true],
    ['a/#', 'a/b/c', true],
    ['a/#', 'ab', false],
    ['#', '$fleet/a', false],
    ['+/a', '$fleet/a', false],
    ['$fleet/#', '$fleet/a', true],
    ['a/$b', 'a/$b', true],
    ['a/+', 'a/$b', true],
  ] as const) {
    test(`${wanted} ${expected ? 'matches' : 'does not match'} ${JSON.stringify(name)}`, () => {
      assert.equal(matches(wanted as TopicFilter, name as Topic), expected);
    });
  }

  test('is the rule of MQTT for every filter and topic', () => {
    fc.assert(
      fc.property(filter, topic, (wanted, name) => matches(wanted, name) === oracle(wanted, name)),
      { numRuns: 20_000 },
    );
  });

  test('an exact filter matches itself alone', () => {
    fc.assert(
      fc.property(topic, topic, (a, b) => {
        assert.ok(isExact(a as unknown as TopicFilter));
        return matches(a as unknown as TopicFilter, b) === (String(a) === String(b));
      }),
    );
  });
});

describe('covering', () => {
  test('what a covered filter matches, its grant matches', () => {
    fc.assert(
      fc.property(filter, filter, topic, (grant, wanted, name) => {
        return !covers(grant, wanted) || !matches(wanted, name) || matches(grant, name);
      }),
      { numRuns: 50_000 },
    );
  });

  test('every filter covers itself, and "#" all but the fleet\'s own', () => {
    fc.assert(fc.property(filter, (wanted) => covers(wanted, wanted)));
    fc.assert(
      fc.property(filter, (wanted) => covers('#' as TopicFilter, wanted) === !wanted.startsWith('$')),
    );
  });

  for (const [grant, wanted, expected] of [
    ['a/+', 'a/#', false],
    ['a/#', 'a/+', true],
    ['a/#', 'a', true],
    ['a/b', 'a/+', false],
    ['+/b', 'a/b', true],
    ['+', '#', false],
    ['a/+/c', 'a/#', false],
  ] as const) {
    test(`${grant} ${expected ? 'covers' : 'does not cover'} ${wanted}`, () => {
      assert.equal(covers(grant as TopicFilter, wanted as TopicFilter), expected);
    });
  }
});

describe('overlapping', () => {
  const names = ['', 'a', 'b', '$x'];
  const grown = (layer: readonly string[]) => layer.flatMap((text) => names.map((name) => `${text}/${name}`));
  // Every topic of up to five levels of four names: enough for filters of up to four levels and "#".
  const every: Topic[] = [];
  for (let layer = names, depth = 1; depth <= 5; layer = grown(layer), depth++)
    every.push(...(layer as Topic[]));
  const small = fc
    .tuple(
      fc.array(fc.constantFrom('', 'a', 'b', '$x', '+'), { minLength: 1, maxLength: 4 }),
      fc.constantFrom('', '#', '/#'),
    )
    .map(([levels, end]) => (end === '#' ? '#' : levels.join('/') + end))
    .filter((text) => text !== '') as fc.Arbitrary<TopicFilter>;

  test('is that some topic matches both, for every two filters', () => {
    fc.assert(
      fc.property(small, small, (one, other) => {
        const found = every.some((name) => matches(one, name) && matches(other, name));
        return overlaps(one, other) === found && overlaps(other, one) === found;
      }),
      { numRuns: 3_000 },
    );
  });

  for (const [one, other, expected] of [
    ['a/+', '+/b', true],
    ['a/+', 'b/+', false],
    ['a/#', 'a', true],
    ['a/#', '+/+/c', true],
    ['a/+', 'a/b/#', true],
    ['a/+', 'a/b/c/#', false],
    ['#', '$x/a', false],
    ['$x/#', '$x/+', true],
  ] as const) {
    test(`${one} ${expected ? 'overlaps' : 'does not overlap'} ${other}`, () => {
      assert.equal(overlaps(one as TopicFilter, other as TopicFilter), expected);
    });
  }
});

describe('what is refused', () => {
  for (const text of [
    '',
    'a+',
    'a/#',
    '+',
    'a\0b',
    '\ud800',
    'x'.repeat(limits.topicBytes + 1),
    'é'.repeat(513),
  ]) {
    test(`the topic ${JSON.stringify(text.slice(0, 12))} of ${text.length} characters`, () => {
      assert.throws(() => parseTopic(text), refused('topic_invalid'));
    });
  }
  for (const text of ['', 'a#', '#/a', 'a/#/b', 'a+', 'a/b+/c', '++', '\0', '\udc00']) {
    test(`the filter ${JSON.stringify(text)}`, () => {
      assert.throws(() => parseTopicFilter(text), refused('filter_invalid'));
    });
  }
  test('a topic at the limit is not', () => {
    assert.equal(parseTopic('x'.repeat(limits.topicBytes)).length, limits.topicBytes);
    assert.equal(parseTopic('é'.repeat(limits.topicBytes / 2)).length, limits.topicBytes / 2);
  });
  test('any text is either a topic or refused as one', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        try {
          return parseTopic(text) === text;
        } catch (error) {
          return refused('topic_invalid')(error);
        }
      }),
    );
  });
});
