import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { matches as fleetMatches, parseTopic, parseTopicFilter } from '@pushfleet/core';
import fc from 'fast-check';
import { matches } from './filter.ts';

const level = fc.constantFrom('a', 'b', '', '+', '#', '$a', 'é');
const text = fc.array(level, { minLength: 1, maxLength: 4 }).map((levels) => levels.join('/'));

/** Undefined where it is not legal. */
const parsed = <T>(parse: (given: string) => T, given: string): T | undefined => {
  try {
    return parse(given);
  } catch {
    return undefined;
  }
};

describe('a topic filter', () => {
  it('matches as on the fleet', () => {
    fc.assert(
      fc.property(text, text, (one, other) => {
        const [filter, topic] = [parsed(parseTopicFilter, one), parsed(parseTopic, other)];
        fc.pre(filter !== undefined && topic !== undefined);
        assert.equal(matches(filter, topic), fleetMatches(filter, topic));
      }),
      { numRuns: 5_000 },
    );
  });
});
