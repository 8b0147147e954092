import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { covers, matches, parseTopic, parseTopicFilter, type TopicFilter } from './topic.ts';
import { FilterTrie, LevelTrie } from './trie.ts';

const level = fc.constantFrom('a', 'b', '', '$a', '日');
const topic = fc
  .array(level, { minLength: 1, maxLength: 4 })
  .map((levels) => levels.join('/'))
  .filter((text) => text !== '')
  .map(parseTopic);
const filter = fc
  .tuple(fc.array(fc.oneof(level, fc.constant('+')), { maxLength: 4 }), fc.boolean())
  .map(([levels, open]) => [...levels, ...(open ? ['#'] : [])].join('/'))
  .filter((text) => text !== '')
  .map(parseTopicFilter);
const filters = fc.uniqueArray(filter, { maxLength: 30 });

function filled<T extends { set(filter: TopicFilter, value: TopicFilter): void }>(
  trie: T,
  from: TopicFilter[],
): T {
  for (const one of from) trie.set(one, one);
  return trie;
}

test('matches what core matches', () => {
  fc.assert(
    fc.property(filters, topic, (all, one) => {
      const found: TopicFilter[] = ['left over' as TopicFilter];
      filled(new FilterTrie<TopicFilter>(), all).match(one, found);
      assert.deepEqual(found.sort(), all.filter((each) => matches(each, one)).sort());
    }),
    { numRuns: 2_000 },
  );
});

test('finds what covers a filter, and what it covers, as core says', () => {
  fc.assert(
    fc.property(filters, filter, (all, one) => {
      const trie = filled(new LevelTrie<TopicFilter>(), all);
      const covered: TopicFilter[] = [];
      trie.covered(one, covered);
      assert.deepEqual(covered.sort(), all.filter((each) => covers(one, each)).sort());
      const rest = new Set(all.filter((each) => covers(each, one)));
      for (let left = rest.size; left > 0; left--) {
        const found = trie.covering(one, (value) => rest.has(value));
        assert.ok(found !== undefined && rest.delete(found));
      }
      assert.equal(
        trie.covering(one, (value) => !covers(value, one)),
        undefined,
      );
    }),
    { numRuns: 2_000 },
  );
});

test('what was taken out is gone, and the rest is not', () => {
  fc.assert(
    fc.property(filters, filters, topic, (kept, gone, one) => {
      for (const trie of [new FilterTrie<TopicFilter>(), new LevelTrie<TopicFilter>()]) {
        filled(trie, [...gone, ...kept]);
        for (const each of gone) if (!kept.includes(each)) trie.delete(each);
        trie.delete('never/there' as TopicFilter);
        assert.equal(trie.size, kept.length);
        const found: TopicFilter[] = [];
        trie.match(one, found);
        assert.deepEqual(found.sort(), kept.filter((each) => matches(each, one)).sort());
        for (const each of gone) assert.equal(trie.get(each) !== undefined, kept.includes(each));
      }
    }),
    { numRuns: 1_000 },
  );
});
