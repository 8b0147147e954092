import assert from 'node:assert/strict';
import { test } from 'node:test';
import { check, countAgain, type Disruption, type Findings, type Receipt } from './webhook-check.ts';

const kill: Disruption = { what: 'a kill', from: 10_000, to: 12_000 };

/** A receipt of endpoint `e` at `at`, answered 10 ms later with the status; 0: not answered. */
const receipt = (at: number, body: string, status = 200, more: Partial<Receipt> = {}): Receipt => ({
  ...{ endpoint: 'e', at, id: `msg_${body}`, body, signed: true },
  ...(status !== 0 && { status, answeredAt: at + 10 }),
  ...more,
});

/** What is found wrong with these receipts, where `a`, `b` and `c` are owed. */
function findings(receipts: readonly Receipt[], o: { ordered?: boolean; concurrency?: number } = {}): object {
  const { ordered = false, concurrency = 2 } = o;
  const owed = ['a', 'b', 'c'].map((body) => ({ body, shard: 0 }));
  const found: Findings = check({
    receipts,
    endpoints: [{ endpoint: 'e', ordered, concurrency, owed }],
    disruptions: [kill],
    windowMs: 2_000,
  });
  return Object.fromEntries(
    Object.entries(found).flatMap(([name, lines]) => (lines.length === 0 ? [] : [[name, lines.length]])),
  );
}
const allFrom = (at: number) => ['a', 'b', 'c'].map((body, i) => receipt(at + i * 100, body));

test('what came once is as promised, whatever was tried before', () => {
  assert.deepEqual(findings(allFrom(0)), {});
  const tried = [receipt(0, 'a', 500), receipt(50, 'b', 0), receipt(60, 'c', 429)];
  assert.deepEqual(findings([...tried, ...allFrom(5_000)]), {});
});

test('lost is what was never accepted, unless the subscription ended', () => {
  const [a, b] = allFrom(0) as [Receipt, Receipt];
  assert.deepEqual(findings([a, b]), { lost: 1 });
  assert.deepEqual(findings([a, b, receipt(300, 'c', 500), receipt(900, 'c', 0)]), { lost: 1 });
  assert.deepEqual(findings([a, receipt(100, 'b', 410)]), {});
});

test('a duplicate is explained by a disruption right behind the first, or around it', () => {
  const after = receipt(12_500, 'a');
  const rest = [receipt(1, 'b'), receipt(2, 'c')];
  const again = (first: Receipt) => findings([first, ...rest, after]);
  assert.deepEqual(again(receipt(9_000, 'a')), {});
  assert.deepEqual(again(receipt(7_990, 'a')), {}, 'answered exactly a window before');
  assert.deepEqual(again(receipt(7_980, 'a')), { doubled: 1 });
  assert.deepEqual(again(receipt(11_900, 'a')), {}, 'while it lasted');
  assert.deepEqual(again(receipt(12_001, 'a')), { doubled: 1 }, 'accepted when all was well again');
  assert.deepEqual(again(receipt(9_990, 'a', 200, { answeredAt: 30_000 })), {}, 'under way at the kill');
});

test('a duplicate before the disruption is not explained by it', () => {
  assert.deepEqual(findings([...allFrom(9_000), receipt(9_500, 'a')]), { doubled: 1 });
});

test('a delivery that comes again is attempted as often as any other until it is accepted', () => {
  const refused = [receipt(12_500, 'a', 429), receipt(12_600, 'a', 0), receipt(12_700, 'a', 500)];
  assert.deepEqual(findings([...allFrom(9_000), ...refused]), {});
  assert.deepEqual(findings([...allFrom(9_000), ...refused, receipt(12_800, 'a')]), {});
  const twice = [receipt(12_800, 'a'), receipt(12_900, 'a', 429)];
  assert.deepEqual(findings([...allFrom(9_000), ...refused, ...twice]), { doubled: 1 });
});

test('a duplicate of a duplicate needs a disruption of its own', () => {
  const receipts = [...allFrom(9_000), receipt(12_500, 'a'), receipt(13_000, 'a')];
  assert.deepEqual(findings(receipts), { doubled: 1 });
  const observed = { receipts, endpoints: [], disruptions: [], windowMs: 0 };
  assert.equal(countAgain(observed), 2);
});

test('an attempt on its way at a disruption may be on record twice, and be taken twice much later', () => {
  const rest = [receipt(1, 'b'), receipt(2, 'c')];
  const twice = (hung: Receipt) => findings([...rest, hung, receipt(60_000, 'a'), receipt(60_100, 'a')]);
  assert.deepEqual(twice(receipt(9_900, 'a', 0)), {});
  assert.deepEqual(twice(receipt(13_000, 'a', 0)), { doubled: 1 });
  assert.deepEqual(
    findings([...rest, receipt(9_900, 'a', 0), ...[60_000, 60_100, 60_200].map((at) => receipt(at, 'a'))]),
    { doubled: 1 },
    'once for each disruption',
  );
});

test('in order means that the predecessor was accepted', () => {
  const inOrder = { ordered: true };
  assert.deepEqual(findings(allFrom(0), inOrder), {});
  const swapped = [receipt(0, 'b'), receipt(100, 'a'), receipt(200, 'c')];
  assert.deepEqual(findings(swapped), {});
  assert.deepEqual(findings(swapped, inOrder), { disordered: 1 });
  const failing = [receipt(0, 'a', 500), receipt(50, 'a'), receipt(100, 'b', 0), receipt(900, 'b')];
  assert.deepEqual(findings([...failing, receipt(1_000, 'c')], inOrder), {});
  const overtaken = [receipt(0, 'a', 500), receipt(50, 'b'), receipt(100, 'a'), receipt(200, 'c')];
  assert.deepEqual(findings(overtaken, inOrder), { disordered: 1 });
  const doubled = [...allFrom(9_000), receipt(12_500, 'a')];
  assert.deepEqual(findings(doubled, inOrder), {}, 'first receipts count');
});

test('after a 410 come those that were on their way, and after a disruption one that has to be told again', () => {
  const gone = (at: number, body: string) => receipt(at, body, 410);
  assert.deepEqual(findings([gone(0, 'a'), gone(5, 'b')]), {});
  assert.deepEqual(findings([gone(0, 'a'), gone(5, 'b'), gone(8, 'c')]), { unwanted: 1 });
  assert.deepEqual(findings([gone(0, 'a'), gone(5, 'b'), gone(8, 'c')], { concurrency: 3 }), {});
  assert.deepEqual(findings([gone(0, 'a'), gone(5_000, 'b')]), { unwanted: 1 }, 'not on its way for so long');
  assert.deepEqual(findings([gone(9_900, 'a'), gone(12_500, 'b')]), {});
  assert.deepEqual(findings([gone(9_900, 'a'), gone(12_500, 'b'), gone(30_000, 'c')]), { unwanted: 1 });
});

test('a wrong signature, an id for two, two ids for one, and what nobody is owed are told', () => {
  const [a, b, c] = allFrom(0) as [Receipt, Receipt, Receipt];
  assert.deepEqual(findings([a, b, { ...c, signed: false }]), { forged: 1 });
  assert.deepEqual(findings([a, { ...b, id: a.id }, c]), { doubled: 1, mixedUp: 1 });
  assert.deepEqual(findings([receipt(0, 'a', 500), receipt(9, 'a', 200, { id: 'msg_other' }), b, c]), {
    mixedUp: 1,
  });
  assert.deepEqual(findings([a, b, c, receipt(400, 'd')]), { mixedUp: 1 });
});
