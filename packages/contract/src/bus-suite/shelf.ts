import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Shelf, ShelfDraft, ShelfEntry } from '@pushfleet/bus';
import fc from 'fast-check';
import { until } from '../until.ts';
import { utf8 } from './tools.ts';

const draft = (key: string, text: string, more: Partial<ShelfDraft> = {}): ShelfDraft => ({
  key,
  body: utf8.encode(text),
  ...more,
});
const texts = (entries: readonly ShelfEntry[]): string[] =>
  entries.map(({ body }) => new TextDecoder().decode(body));
const places = (entries: readonly ShelfEntry[]): number[] => entries.map(({ sequence }) => sequence);

export function keepingShelves(shelfOf: () => Shelf): void {
  describe('shelf', () => {
    it('keeps entries under their keys, in the order in which they came', async () => {
      const shelf = shelfOf();
      const before = Date.now();
      const given = await shelf.append([
        draft('a/1', '1'),
        draft('a/2', '2'),
        draft('a/1', '3'),
        draft('a', '4'),
      ]);
      assert.deepEqual(
        [...given].sort((x, y) => x - y),
        given,
      );
      assert.equal(new Set(given).size, 4);
      const [first, second] = await shelf.read('a/1', 0, 10);
      assert.deepEqual([first?.key, first?.sequence, second?.sequence], ['a/1', given[0], given[2]]);
      assert.ok((first?.time ?? 0) > before - 60_000 && (first?.time ?? 0) < Date.now() + 60_000);
      assert.deepEqual(texts(await shelf.read('a/1', 0, 10)), ['1', '3']);
      assert.deepEqual(texts(await shelf.read('a/1', given[0] ?? 0, 10)), ['3']);
      assert.deepEqual(texts(await shelf.read('a/1', 0, 1)), ['1']);
      assert.deepEqual(texts(await shelf.read('a', 0, 10)), ['4']);
      assert.deepEqual(await shelf.read('b', 0, 10), []);
      const [other] = await shelf.read('a/2', 0, 1);
      assert.deepEqual(await shelf.get(given[1] ?? 0), other);
      assert.equal(await shelf.get((given[3] ?? 0) + 1_000), undefined);
      assert.deepEqual(await shelf.append([]), []);
    });

    it('keeps the order of each key among many appends at once', async () => {
      const shelf = shelfOf();
      const calls = Array.from({ length: 40 }, (_, call) =>
        shelf.append(Array.from({ length: 20 }, (_, i) => draft(`many/${i % 3}`, `${call * 20 + i}`))),
      );
      const given = (await Promise.all(calls)).flat();
      assert.equal(new Set(given).size, 800);
      for (const key of [0, 1, 2]) {
        const wanted = Array.from({ length: 800 }, (_, i) => i).filter((i) => (i % 20) % 3 === key);
        assert.deepEqual(texts(await shelf.read(`many/${key}`, 0, 1_000)), wanted.map(String));
        assert.deepEqual(
          places(await shelf.read(`many/${key}`, 0, 1_000)),
          wanted.map((i) => given[i]),
        );
      }
    });

    it('stores an id once, and says where it lies', async () => {
      const shelf = shelfOf();
      const [first] = await shelf.append([draft('id', '1', { id: 'same_id-1' })]);
      const many = Array.from({ length: 200 }, (_, i) => draft('id', `m${i}`, { id: `id-many-${i}` }));
      const again = await shelf.append([draft('id', '2', { id: 'same_id-1' }), ...many]);
      assert.equal(again[0], first);
      assert.deepEqual(await shelf.append(many), again.slice(1));
      assert.equal((await shelf.read('id', 0, 1_000)).length, 201);
      assert.deepEqual(texts(await shelf.read('id', 0, 1)), ['1']);
    });

    it('gives the newest first, wherever they lie', async () => {
      const shelf = shelfOf();
      const key = fc.constantFrom('n/rare', 'n/some', 'n/many', 'n/many', 'n/many', 'n/many');
      const runs = fc.array(fc.tuple(key, fc.integer({ min: 1, max: 120 })), { minLength: 1, maxLength: 12 });
      const laid: ShelfEntry[] = [];
      await fc.assert(
        fc.asyncProperty(runs, fc.nat(), fc.integer({ min: 1, max: 60 }), async (groups, skip, limit) => {
          const drafts = groups.flatMap(([name, count]) =>
            Array.from({ length: count }, (_, i) => draft(name, `${laid.length + i}`)),
          );
          for (const [i, sequence] of (await shelf.append(drafts)).entries()) {
            laid.push({ ...(drafts[i] as ShelfDraft), sequence, time: 0 });
          }
          for (const name of ['n/rare', 'n/some', 'n/many', 'n/none']) {
            const mine = laid.filter((entry) => entry.key === name);
            const before = skip % 3 === 0 ? undefined : laid[skip % laid.length]?.sequence;
            const older = mine.filter(({ sequence }) => before === undefined || sequence < before);
            const found = await shelf.newest(name, before, limit);
            assert.deepEqual(places(found), places(older.slice(-limit).toReversed()));
          }
        }),
        { numRuns: 25 },
      );
    });

    it('removes single entries, and passes over what is not there', async () => {
      const shelf = shelfOf();
      const given = await shelf.append(Array.from({ length: 100 }, (_, i) => draft('rm', `${i}`)));
      const gone = given.filter((_, i) => i % 2 === 0);
      await shelf.remove([...gone, ...gone, 999_999_999]);
      await shelf.remove(gone);
      await shelf.remove([]);
      assert.deepEqual(
        places(await shelf.read('rm', 0, 1_000)),
        given.filter((_, i) => i % 2 === 1),
      );
      assert.equal(await shelf.get(gone[0] ?? 0), undefined);
    });

    it('counts and clears a key with what lies below it', async () => {
      const shelf = shelfOf();
      const odd = 'c/with.dots and ü>*/#//';
      const keys = ['c', 'c/a', 'c/a/1', 'c/a/2', 'c/ab', odd];
      await shelf.append([...keys, ...keys, 'c/a/1'].map((key) => draft(key, 'x')));
      assert.deepEqual(
        new Map([...(await shelf.keys('c'))].toSorted()),
        new Map<string, number>(
          keys.map((key): [string, number] => [key, key === 'c/a/1' ? 3 : 2]).toSorted(),
        ),
      );
      assert.deepEqual(new Map(await shelf.keys('c/a/1')), new Map([['c/a/1', 3]]));
      assert.equal((await shelf.keys('c/none')).size, 0);
      assert.equal((await shelf.keys('#')).get(odd), 2);
      assert.equal(await shelf.clear('c/a'), 7);
      assert.equal(await shelf.clear('c/a'), 0);
      assert.deepEqual([...(await shelf.keys('c')).keys()].toSorted(), ['c', 'c/ab', odd].toSorted());
      assert.equal((await shelf.read(odd, 0, 5)).length, 2);
      const [, second] = await shelf.append([
        draft('c', '1'),
        draft('c', '2'),
        draft('c/ab', '3'),
        draft('c', '4'),
      ]);
      assert.equal(await shelf.clear('c', { exactly: true, until: second ?? 0 }), 4);
      assert.deepEqual(texts(await shelf.read('c', 0, 9)), ['4']);
      assert.equal(await shelf.clear('c', { exactly: true }), 1);
      assert.equal(await shelf.clear('c'), 5);
    });

    it('lets go of what has outlived its time', async () => {
      const shelf = shelfOf();
      const [short] = await shelf.append([
        draft('ttl', '1', { ttlMs: 1_000 }),
        draft('ttl', '2', { ttlMs: 600_000 }),
      ]);
      await until(async () => (await shelf.get(short ?? 0)) === undefined, 'the end of the first');
      assert.deepEqual(texts(await shelf.read('ttl', 0, 5)), ['2']);
      assert.deepEqual(texts(await shelf.newest('ttl', undefined, 5)), ['2']);
    });

    it('refuses what breaks its rules, and then stores nothing of the call', async () => {
      const shelf = shelfOf();
      const tooLarge = new Uint8Array(1_048_576 - 4_095);
      for (const [bad, code] of [
        [draft('', 'x'), 'request_invalid'],
        [draft('k'.repeat(1_153), 'x'), 'request_invalid'],
        [draft('rules', 'x', { id: 'not an id' }), 'request_invalid'],
        [draft('rules', 'x', { id: 'i'.repeat(65) }), 'request_invalid'],
        [{ key: 'rules', body: tooLarge }, 'payload_too_large'],
      ] as const) {
        await assert.rejects(shelf.append([draft('rules', 'first'), bad]), { code });
      }
      assert.deepEqual(await shelf.read('rules', 0, 5), []);
      const longest = 'k'.repeat(1_152);
      await shelf.append([{ key: longest, id: 'i'.repeat(64), body: tooLarge.subarray(1) }]);
      assert.equal((await shelf.read(longest, 0, 1))[0]?.body.length, 1_048_576 - 4_096);
      await shelf.clear(longest);
    });
  });
}
