import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Ledger } from './page/ledger.ts';

const seen = (key: string, stored?: number) => ({
  ...{ key, topic: 'a', text: key },
  ...(stored !== undefined && { stored }),
});

test('a message is one entry, whichever transport brings it first', () => {
  const ledger = new Ledger();
  ledger.sent(seen('1'), 10);
  ledger.arrived('sse', seen('1', 11), 14);
  ledger.arrived('ws', seen('1', 11), 12);
  ledger.arrived('ws', seen('2', 20), 21);
  assert.deepEqual(
    ledger.entries.map(({ key }) => key),
    ['2', '1'],
  );
  const [other, own] = ledger.entries;
  assert.deepEqual(other?.arrivals.get('ws'), { at: 21, times: 1, missed: false });
  assert.equal(own?.sent, 10);
  assert.deepEqual(
    [...(own?.arrivals ?? [])],
    [
      ['sse', { at: 14, times: 1, missed: false }],
      ['ws', { at: 12, times: 1, missed: false }],
    ],
  );
});

test('what was published while a transport was away is told from what was not', () => {
  const ledger = new Ledger();
  ledger.sent(seen('before'), 5);
  ledger.left('ws', 10);
  ledger.left('ws', 15);
  assert.ok(ledger.isAway('ws'));
  ledger.sent(seen('meanwhile'), 12);
  ledger.returned('ws', 20);
  ledger.returned('ws', 25);
  assert.ok(!ledger.isAway('ws'));
  ledger.sent(seen('after'), 22);
  const missed = (entry: { arrivals: Map<string, { missed: boolean }> }) => entry.arrivals.get('ws')?.missed;
  assert.equal(missed(ledger.arrived('ws', seen('before'), 30)), false);
  assert.equal(missed(ledger.arrived('ws', seen('meanwhile'), 30)), true);
  assert.equal(missed(ledger.arrived('ws', seen('of another', 18), 30)), true);
  assert.equal(missed(ledger.arrived('ws', seen('after'), 30)), false);
});

test('what comes twice is counted, not hidden', () => {
  const ledger = new Ledger();
  ledger.arrived('ws', seen('1', 1), 2);
  assert.equal(ledger.arrived('ws', seen('1', 1), 3).arrivals.get('ws')?.times, 2);
});

test('the oldest make room, and what was refused is forgotten', () => {
  const ledger = new Ledger();
  for (let i = 0; i < 1_001; i++) ledger.sent(seen(String(i)), i);
  assert.equal(ledger.entries.length, 1_000);
  assert.equal(ledger.entries.at(-1)?.key, '1');
  ledger.forget('1');
  assert.equal(ledger.entries.length, 999);
});
