import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { limits, matches, type Namespace, parseTopic, parseTopicFilter, type Topic } from '@pushfleet/core';
import fc from 'fast-check';
import { shardOf } from './shard.ts';
import { filterOf, keptScope, liveScope, logScope, messageId, subjectOf, topicOf } from './subject.ts';

const namespace = 'team-1' as Namespace;
const scope = liveScope(namespace);

const parses = (parse: (text: string) => unknown) => (text: string) => {
  try {
    parse(text);
    return true;
  } catch {
    return false;
  }
};

const nasty = fc.constantFrom(
  '.',
  '*',
  '>',
  '%',
  '%2E',
  '%%',
  ' ',
  '\t',
  '\n',
  '\r',
  '\u007f',
  '$',
  '',
  'a',
  'ü',
  '𝄞',
  '\u00a0',
);
const level = fc.oneof(
  fc.array(nasty, { maxLength: 3 }).map((parts) => parts.join('')),
  fc.string({ unit: 'binary', maxLength: 6 }),
);
const topics = fc
  .array(level, { minLength: 1, maxLength: 8 })
  .map((levels) => levels.join('/'))
  .filter(parses(parseTopic))
  .map((text) => text as Topic);
const filters = fc
  .tuple(fc.array(fc.oneof(level, fc.constant('+')), { maxLength: 6 }), fc.constantFrom('', '#', '+'))
  .map(([levels, last]) => [...levels, last].join('/'))
  .filter(parses(parseTopicFilter))
  .map(parseTopicFilter);

/** NATS' own rule: `*` is one token, `>` one or more at the end. */
function natsMatches(pattern: string, subject: string): boolean {
  const wanted = pattern.split('.');
  const tokens = subject.split('.');
  for (const [index, token] of wanted.entries()) {
    if (token === '>') return tokens.length > index;
    if (tokens[index] === undefined || (token !== '*' && token !== tokens[index])) return false;
  }
  return wanted.length === tokens.length;
}

describe('subjects', () => {
  it('have the forms that the streams, the interests and operators rely on', () => {
    const plain = parseTopic('orders/eu/42');
    assert.equal(subjectOf(logScope(namespace, 3), plain), 'pf.log.3.team-1.t.orders.eu.42.%%');
    assert.equal(subjectOf(keptScope(namespace), plain), 'pf.kept.team-1.t.orders.eu.42.%%');
    assert.equal(subjectOf(scope, parseTopic('$fleet/x')), 'pf.live.team-1.s.$fleet.x.%%');
    assert.equal(
      subjectOf(scope, parseTopic('/a b/v1.2//*>%')),
      'pf.live.team-1.t.%.a%20b.v1%2E2.%.%2A%3E%25.%%',
    );
    assert.equal(filterOf(scope, parseTopicFilter('a/#')), 'pf.live.team-1.t.a.>');
    assert.equal(filterOf(scope, parseTopicFilter('a/+/')), 'pf.live.team-1.t.a.*.%.%%');
    assert.equal(filterOf(scope, parseTopicFilter('#')), 'pf.live.team-1.t.>');
    assert.equal(filterOf(scope, parseTopicFilter('$fleet/#')), 'pf.live.team-1.s.$fleet.>');
  });

  it('give back every legal topic', () => {
    fc.assert(
      fc.property(topics, (topic) => {
        for (const prefix of [scope, logScope(namespace, 63), keptScope(namespace)]) {
          assert.equal(topicOf(prefix, subjectOf(prefix, topic)), topic);
        }
      }),
      { numRuns: 2_000 },
    );
  });

  it('are legal subjects: no empty token, no space, no control character, no wildcard', () => {
    fc.assert(
      fc.property(topics, (topic) => {
        assert.doesNotMatch(subjectOf(scope, topic), /[\u0000-\u0020\u007f*>]|\.\.|\.$/);
      }),
    );
  });

  it('match in NATS exactly where filter and topic match', () => {
    const unrelated = fc.tuple(filters, topics);
    const related = topics.chain((topic) =>
      fc
        .array(fc.constantFrom('keep', '+', 'x'), { minLength: 1, maxLength: 9 })
        .chain((plan) => fc.constantFrom('', '/#').map((tail) => ({ plan, tail })))
        .map(({ plan, tail }) => {
          const levels = topic.split('/').slice(0, plan.length);
          return levels.map((text, index) => (plan[index] === 'keep' ? text : plan[index])).join('/') + tail;
        })
        .filter(parses(parseTopicFilter))
        .map((text) => [parseTopicFilter(text), topic] as const),
    );
    fc.assert(
      fc.property(fc.oneof(unrelated, related), ([filter, topic]) => {
        assert.equal(natsMatches(filterOf(scope, filter), subjectOf(scope, topic)), matches(filter, topic));
      }),
      { numRuns: 5_000 },
    );
  });

  it('fit into the control line of 4,096 bytes, whatever the topic', () => {
    const longest = 'n'.repeat(limits.namespaceLength) as Namespace;
    for (const text of [
      '.'.repeat(1_024),
      '/'.repeat(1_024),
      './'.repeat(512),
      '𝄞'.repeat(256),
      '%'.repeat(1_024),
    ]) {
      const subject = subjectOf(logScope(longest, limits.shards - 1), parseTopic(text));
      const reply = '_INBOX.0123456789012345678901.zzzzzzzzzz';
      assert.ok(Buffer.byteLength(`HPUB ${subject} ${reply} 1048576 1048576\r\n`) < 4_096);
    }
  });

  it('of strangers give no topic', () => {
    for (const tail of ['t.a', 't.a.%', 't.%2e.%%', 't.%2E2', 't', '', 't.%%', 't.a%2.%%b']) {
      assert.equal(topicOf(scope, scope + tail), undefined, tail);
    }
  });
});

describe('the deduplication id', () => {
  it('differs as soon as namespace, source, topic or id does', () => {
    const base = ['ns', 'source', 'a/b', 'id'];
    const of = (parts: readonly string[]) =>
      messageId(parts[0] as Namespace, parts[1] ?? '', parts[2] as Topic, parts[3] ?? '');
    const ids = new Set([of(base), ...base.map((_, index) => of(base.with(index, 'other')))]);
    assert.equal(ids.size, 5);
    assert.match(of(base), /^[A-Za-z0-9_-]{22}$/);
    assert.equal(of(base), of([...base]));
  });
});

describe('the shard of a topic', () => {
  it('never changes', () => {
    const shards = ['a', 'orders/eu/42', '$fleet/x', 'ü/𝄞'].map((topic) => shardOf(topic as Topic, 64));
    assert.deepEqual(shards, [44, 22, 2, 22]);
  });

  it('spreads topics evenly', () => {
    const counts = [0, 0, 0];
    for (let i = 0; i < 9_000; i++) {
      const shard = shardOf(`device/${i}/state` as Topic, 3);
      counts[shard] = (counts[shard] ?? 0) + 1;
    }
    for (const count of counts) assert.ok(count > 2_700 && count < 3_300, counts.join(' '));
  });
});
