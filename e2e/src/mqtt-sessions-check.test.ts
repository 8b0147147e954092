import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type Arrival,
  check,
  countAgain,
  type Made,
  payloadOf,
  type Witness,
} from './mqtt-sessions-check.ts';

const make = (publisher: string, number: number, more: Partial<Made> = {}): Made => ({
  ...{ publisher, number, topic: 't/2', qos: 2, fate: 'owed' },
  ...more,
});

const a = [make('a', 1), make('a', 2), make('a', 3)] as const;
const b = make('b', 1);

/** As it comes where nothing goes wrong. */
const arrive = (made: Made, more: Partial<Arrival> = {}): Arrival => ({
  ...{ topic: made.topic, payload: payloadOf(made), id: `id of ${payloadOf(made)}` },
  ...more,
});

const witness = (arrivals: readonly Arrival[], more: Partial<Witness> = {}): Witness => ({
  ...{ name: 'w', filters: [{ filter: 't/#', qos: 2 }], arrivals },
  ...more,
});

/** How many cases of each kind are found, where `a` and `b` were made. */
function findings(witnesses: readonly Witness[], made: readonly Made[] = [...a, b]): object {
  const found = Object.entries(check({ made, witnesses }));
  return Object.fromEntries(
    found.flatMap(([name, lines]) => (lines.length > 0 ? [[name, lines.length]] : [])),
  );
}

const all = [...a, b].map((made) => arrive(made));
const atMost1 = { filters: [{ filter: 't/#', qos: 1 }] } as const;

test('all of it once and in order is as promised, and each may stand anywhere between those of others', () => {
  assert.deepEqual(findings([witness(all)]), {});
  assert.deepEqual(findings([witness([b, ...a].map((made) => arrive(made)))]), {});
});

test('lost is what is owed and subscribed to, and did not come', () => {
  assert.deepEqual(findings([witness(all.slice(1))]), { lost: 1 });
  assert.deepEqual(findings([witness([]), witness(all)]), { lost: 4 });
  assert.deepEqual(findings([witness([], { filters: [{ filter: 'other', qos: 2 }] })]), {});
  assert.deepEqual(findings([witness([])], [make('a', 1, { fate: 'possible' })]), {});
});

test('what nobody acknowledged may come, once', () => {
  const maybe = make('c', 1, { fate: 'possible' });
  assert.deepEqual(findings([witness([arrive(maybe)])], [maybe]), {});
  assert.deepEqual(findings([witness([arrive(maybe), arrive(maybe)])], [maybe]), { doubled: 1 });
});

test('doubled is what comes again by QoS 2, by its payload or by its id alone', () => {
  const again = [...all, arrive(a[0])];
  assert.deepEqual(findings([witness(again)]), { doubled: 1 });
  assert.deepEqual(findings([witness(again, atMost1)]), {}, 'a subscription of QoS 1 may be given it again');
  assert.equal(countAgain({ witnesses: [witness(again)] }), 1);
  const ofQos1 = again.map((arrival) => ({ ...arrival, id: undefined }));
  assert.deepEqual(
    findings(
      [witness(ofQos1)],
      [...a, b].map((made) => ({ ...made, qos: 1 })),
    ),
    {},
  );
  assert.deepEqual(findings([witness(ofQos1)]), { doubled: 1 }, 'a client of 3.1.1 is not told the id');
  const sameId = [...all.slice(0, 3), arrive(b, { id: 'id of a 1' })];
  assert.deepEqual(findings([witness(sameId)]), { doubled: 1, mixedUp: 1 });
});

test('stored twice is one publication of QoS 2 under two ids, whoever saw them', () => {
  const other = [...all.slice(1), arrive(a[0], { id: 'another' })];
  const two = findings([witness(all), witness([...other.slice(-1), ...other.slice(0, -1)])]);
  assert.deepEqual(two, { storedTwice: 1 });
  assert.deepEqual(findings([witness([...all, arrive(a[0], { id: 'another' })], atMost1)]), {
    storedTwice: 1,
  });
  const made = [...a, b].map((one) => ({ ...one, qos: 1 as const }));
  assert.deepEqual(findings([witness([...all, arrive(a[0], { id: 'another' })], atMost1)], made), {});
});

test('order is that of a publisher on a topic, counted by what comes for the first time', () => {
  const [first, second, third, other] = all as [Arrival, Arrival, Arrival, Arrival];
  assert.deepEqual(findings([witness([second, first, third, other])]), { disordered: 1 });
  assert.deepEqual(findings([witness([third, first, second, other])]), { disordered: 2 });
  assert.deepEqual(findings([witness([first, second, first, third, second, other], atMost1)]), {});
  const elsewhere = make('a', 2, { topic: 't/3' });
  const made = [a[0], elsewhere, a[2]];
  assert.deepEqual(findings([witness([first, third, arrive(elsewhere)])], made), {});
});

test('two sessions are given what two publishers made on one topic in one order', () => {
  const [first, second, third, other] = all as [Arrival, Arrival, Arrival, Arrival];
  const elsewhere = witness([first, other, second, third], { name: 'v' });
  assert.deepEqual(findings([witness(all), elsewhere]), { disagreed: 2 });
  assert.deepEqual(findings([witness(all), witness(all, { name: 'v' })]), {});
  const part = witness([first, second, other], { name: 'v' });
  assert.deepEqual(findings([witness(all), part]), { lost: 1 }, 'what one of them lacks is no other order');
});

test('a will comes exactly once where it is due, and never where it is not', () => {
  const will = (fate: Made['fate']): Made => make('will-1', 1, { topic: 't/wills/1', fate });
  const came = arrive(will('owed'));
  assert.deepEqual(findings([witness([came])], [will('owed')]), {});
  assert.deepEqual(findings([witness([])], [will('owed')]), { lost: 1 });
  assert.deepEqual(findings([witness([came, came])], [will('owed')]), { doubled: 1 });
  assert.deepEqual(findings([witness([])], [will('never')]), {});
  assert.deepEqual(findings([witness([came])], [will('never')]), { unwanted: 1 });
});

test('what was never made, was made for another topic or is not subscribed to is not owed', () => {
  assert.deepEqual(findings([witness([...all, arrive(make('x', 1))])]), { mixedUp: 1 });
  assert.deepEqual(findings([witness([...all.slice(1), arrive(a[0], { topic: 't/9' })])]), {
    lost: 1,
    mixedUp: 1,
  });
  const narrow = { filters: [{ filter: 't/9', qos: 2 }] } as const;
  assert.deepEqual(findings([witness(all, narrow)]), { mixedUp: 4 });
});

test('of overlapping subscriptions the highest QoS counts', () => {
  const filters = [
    { filter: 't/#', qos: 1 },
    { filter: 't/2', qos: 2 },
  ] as const;
  assert.deepEqual(findings([witness([...all, arrive(b)], { filters })]), { doubled: 1 });
});
