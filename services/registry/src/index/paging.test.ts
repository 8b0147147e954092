import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { formatCursor, type Place } from '@pushfleet/core';
import fc from 'fast-check';
import { merge } from './merge.ts';
import { owedBy } from './owed.ts';
import { formatToken, parseToken } from './page-token.ts';

const keyOf = (member: string): string => member.split(' ', 1)[0] ?? '';

describe('merge', () => {
  const sets = fc.array(fc.uniqueArray(fc.integer({ min: 10, max: 99 }), { maxLength: 20 }), {
    minLength: 1,
    maxLength: 5,
  });

  it('gives every member of every filter once, in order, whatever the sizes of pages', () => {
    const sizes = fc.integer({ min: 1, max: 12 });
    fc.assert(
      fc.property(sets, sizes, sizes, (numbers, limit, count) => {
        // A subscription has one filter.
        const taken = new Set<number>();
        const filters = numbers.map((some) =>
          some
            .filter((n) => !taken.has(n) && taken.add(n))
            .map((n) => `${n % 2}${n} tail`)
            .toSorted(),
        );
        const given: string[] = [];
        for (let after: string | undefined = ''; after !== undefined; ) {
          const from: string = after;
          const streams = filters.map((all) => {
            const members = all.filter((member) => keyOf(member) > from).slice(0, count);
            return { members, more: members.length === count };
          });
          const { members, next } = merge(streams, limit);
          assert.ok(members.length <= limit && next !== from, 'it goes on');
          given.push(...members);
          after = next;
        }
        assert.deepEqual(given, filters.flat().toSorted());
      }),
      { numRuns: 2_000 },
    );
  });
});

describe('owedBy', () => {
  const publication: Place = { generation: 'g2', positions: [undefined, 10], time: 5_000 };
  const start = (over: Partial<Place>): Place => ({
    generation: 'g2',
    positions: [99, 9],
    time: 9_000,
    ...over,
  });

  it('goes by the position in the shard of the publication', () => {
    assert.equal(isOwed(publication, start({ positions: [99, 9] })), true);
    assert.equal(isOwed(publication, start({ positions: [0, 10] })), false);
    assert.equal(isOwed(publication, start({ positions: [0, 11], time: 0 })), false);
  });

  it('goes by time where positions say nothing', () => {
    for (const silent of [{ positions: [1] }, { positions: [1, undefined] }, { generation: 'g1' }]) {
      assert.equal(isOwed(publication, start({ ...silent, time: 4_999 })), true);
      assert.equal(isOwed(publication, start({ ...silent, time: 5_000 })), true);
      assert.equal(isOwed(publication, start({ ...silent, time: 5_001 })), false);
    }
  });
});

const isOwed = (publication: Place, start: Place): boolean =>
  owedBy(formatCursor(publication))(formatCursor(start));

describe('page tokens', () => {
  it('come back as they were, and nothing else passes for one', () => {
    for (const position of [
      { region: '0', id: '', revision: 0 },
      { region: '1', id: 'sub_a-B', revision: Number.MAX_SAFE_INTEGER },
    ] as const) {
      assert.deepEqual(parseToken(formatToken(position)), position);
    }
    assert.equal(parseToken(''), undefined);
    for (const text of ['x', '1.2a', '1.0a b', '.0a', `1.0${'a'.repeat(65)}`, 'zzzzzzzzzzzz.0a']) {
      assert.throws(() => parseToken(text), { code: 'request_invalid' });
    }
  });
});
