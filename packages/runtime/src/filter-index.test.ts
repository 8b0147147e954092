import assert from 'node:assert/strict';
import { test } from 'node:test';
import { matches, type Topic, type TopicFilter } from '@pushfleet/core';
import fc from 'fast-check';
import { FilterIndex, noRank } from './filter-index.ts';

const level = fc.constantFrom('', 'a', 'b', '$x');
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

test('the first of the filters that match, as looking through all of them would find', () => {
  fc.assert(
    fc.property(fc.array(filter, { maxLength: 12 }), topic, (filters, name) => {
      const index = new FilterIndex();
      for (const [rank, wanted] of filters.entries()) index.add(wanted, rank);
      const found = filters.findIndex((wanted) => matches(wanted, name));
      assert.equal(index.first(name), found === -1 ? noRank : found);
    }),
    { numRuns: 10_000 },
  );
});
