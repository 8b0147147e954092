import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { matches as fleetMatches, parseTopic, parseTopicFilter } from '@pushfleet/core';
import fc from 'fast-check';
import { matches, requireFilter, requireTopic } from './filter.ts';

const level = fc.constantFrom('a', 'b', '', '+', '#', '$a', 'a+', '#b', 'é', '\0');
const text = fc.oneof(
  fc.array(level, { minLength: 1, maxLength: 4 }).map((levels) => levels.join('/')),
  fc.constantFrom('x'.repeat(1_023), 'x'.repeat(1_024), 'x'.repeat(1_025), 'é'.repeat(512), 'é'.repeat(513)),
);

const isLegal = (check: (given: string) => unknown, given: string): boolean => {
  try {
    check(given);
    return true;
  } catch {
    return false;
  }
};

describe('a topic filter', () => {
  it('matches as on the fleet', () => {
    fc.assert(
      fc.property(text, text, (filter, topic) => {
        if (!isLegal(parseTopicFilter, filter) || !isLegal(parseTopic, topic)) return;
        assert.equal(matches(filter, topic), fleetMatches(parseTopicFilter(filter), parseTopic(topic)));
      }),
      { numRuns: 5_000 },
    );
  });

  it('is legal where it is on the fleet, and so is a topic', () => {
    fc.assert(
      fc.property(text, (given) => {
        assert.equal(isLegal(requireFilter, given), isLegal(parseTopicFilter, given));
        assert.equal(isLegal(requireTopic, given), isLegal(parseTopic, given));
      }),
      { numRuns: 2_000 },
    );
  });
});
