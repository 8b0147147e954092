import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import { Unreadable } from './bytes.ts';
import { Given } from './given.ts';

type Place = { readonly shard: number; readonly sequence: number; readonly time: number };

const at = (sequence: number, time = sequence, shard = 0): Place => ({ shard, sequence, time });

/** What the registry has after it was told of each in turn. */
class Registry {
  readonly fields: Record<string, Buffer> = {};

  hear(told: Readonly<Record<string, Buffer | undefined>>): void {
    for (const [name, value] of Object.entries(told)) {
      if (value === undefined) delete this.fields[name];
      else this.fields[name] = value;
    }
  }
}

const has = (given: Given, place: Place): boolean => given.places().take(place);

function filled(most: number, count: number, stepMs = 1): Given {
  const given = new Given(most);
  for (let i = 1; i <= count; i++) given.add(at(i, i * stepMs));
  return given;
}

suite('what a session was given lately', () => {
  test('is what the registry has of it, however it was told', () => {
    const place = fc.record({
      shard: fc.integer({ min: 0, max: 5 }),
      sequence: fc.integer({ min: 1, max: 2 ** 50 }),
      stepMs: fc.integer({ min: 0, max: 3_000 }),
    });
    const told = fc.constantFrom('change', 'whole', 'later', 'later', 'later');
    const property = fc.property(
      fc.array(fc.tuple(place, told), { maxLength: 200 }),
      fc.integer({ min: 1, max: 100 }),
      (steps, most) => {
        const given = new Given(most);
        const registry = new Registry();
        let time = 1_700_000_000_000;
        for (const [{ stepMs, ...one }, how] of steps) {
          time += stepMs;
          given.add({ ...one, time });
          if (how !== 'later') registry.hear(given.told(how === 'whole'));
        }
        registry.hear(given.told(false));
        assert.deepEqual(Given.read(registry.fields, most).places(), given.places());
        // And whoever read it goes on with it.
        const next = Given.read(registry.fields, most);
        for (const one of [given, next]) one.add(at(7, time + 1));
        registry.hear(next.told(false));
        assert.deepEqual(Given.read(registry.fields, most).places(), given.places());
      },
    );
    fc.assert(property, { numRuns: 200 });
  });

  test('counts once', () => {
    const places = filled(1_000, 3).places();
    assert.deepEqual(
      [places.take(at(2)), places.take(at(2)), places.take(at(4)), places.take(at(2, 2, 1))],
      [true, false, false, false],
    );
  });

  test('is told as far as it is new', () => {
    const given = filled(1_000, 300);
    assert.deepEqual(Object.keys(given.told(false)), ['given.0', 'given.1']);
    assert.deepEqual(given.told(false), {});
    given.add(at(301));
    assert.deepEqual(Object.keys(given.told(false)), ['given.1']);
    assert.deepEqual(Object.keys(given.told(true)), ['given.0', 'given.1']);
    assert.deepEqual(new Given(1_000).told(true), {});
  });

  test('is forgotten after 75 seconds, which the registry hears of', () => {
    const given = new Given(1_000);
    given.add(at(1, 0));
    given.add(at(2, 75_000));
    assert.deepEqual([has(given, at(1)), has(given, at(2))], [true, true]);
    assert.deepEqual(Object.keys(given.told(false)), ['given.0', 'given.1']);
    given.add(at(3, 75_001));
    assert.deepEqual([has(given, at(1)), has(given, at(2)), has(given, at(3))], [false, true, true]);
    const { 'given.0': gone, ...rest } = given.told(false);
    assert.deepEqual([gone, Object.keys(rest)], [undefined, ['given.1']]);
  });

  for (const [count, oldest, held] of [
    [511, 1, 511],
    [512, 1, 512],
    [513, 257, 257],
  ] as const) {
    test(`of ${count} with room for 512 it has ${held}`, () => {
      const given = filled(512, count);
      assert.equal(given.count, held);
      assert.equal(has(given, at(oldest)), true);
      assert.equal(oldest === 1 || !has(given, at(oldest - 1)), true);
    });
  }

  test('costs little more than a byte each', () => {
    const bytes = Object.values(filled(16_384, 16_384).told(true)).reduce(
      (sum, field) => sum + (field?.length ?? 0),
      0,
    );
    assert.ok(bytes < 1.1 * 16_384, String(bytes));
  });

  test('is refused where it is not as it was written', () => {
    const fields = filled(1_000, 3).told(true) as Record<string, Buffer>;
    const cut = { 'given.0': (fields['given.0'] as Buffer).subarray(0, -1) };
    for (const wrong of [cut, { 'given.x': Buffer.alloc(0) }, { 'given.0': Buffer.alloc(0) }]) {
      assert.throws(() => Given.read(wrong, 1_000), Unreadable);
    }
  });
});
