import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Unwelcome } from './arrival.ts';
import { ClientIds } from './client-id.ts';
import { reasons } from './codec.ts';

const rules = {
  clientIdBytes: 23,
  clientIdPatterns: [] as readonly string[],
  clientIdCharacters: undefined as string | undefined,
  clientIdAssigned: true,
};

function taken(clientId: string, over: Partial<typeof rules> = {}, subject = 'ann'): boolean {
  const ids = new ClientIds({ ...rules, ...over });
  try {
    ids.check(clientId);
    return ids.of(clientId, subject) !== '';
  } catch (error) {
    assert.ok(error instanceof Unwelcome);
    assert.equal(error.reason, reasons.clientIdNotValid);
    return false;
  }
}

test('as long as it may be, in bytes, and longer', () => {
  assert.ok(taken('x'.repeat(22)));
  assert.ok(taken('x'.repeat(23)));
  assert.ok(!taken('x'.repeat(24)));
  assert.ok(taken(`x${'ä'.repeat(11)}`));
  assert.ok(!taken('ä'.repeat(12)));
});

test('any characters, or those that are said and what MQTT allows everywhere [MQTT-3.1.3-5]', () => {
  assert.ok(taken('a/b €'));
  for (const given of ['abcXYZ019', '._-', 'a.b'])
    assert.ok(taken(given, { clientIdCharacters: '._-' }), given);
  for (const given of ['a/b', 'ä', ' ', '😀']) assert.ok(!taken(given, { clientIdCharacters: '._-' }), given);
  assert.ok(taken('😀', { clientIdCharacters: '😀' }));
});

test('one is assigned to who brings none, or not [MQTT-3.1.3-6]', () => {
  assert.ok(taken(''));
  assert.match(new ClientIds(rules).of('', 'ann'), /^auto-[0-9a-f]{24}$/);
  assert.ok(!taken('', { clientIdAssigned: false }));
  // The server's own is none that a pattern is about.
  assert.ok(taken('', { clientIdPatterns: ['{sub}'] }));
});

test('patterns: the subject, anything, and nothing else', () => {
  for (const [pattern, fits, others] of [
    ['{sub}', ['ann'], ['anna', 'an', 'Ann', 'bob']],
    ['{sub}-*', ['ann-', 'ann-1', 'ann-a-b'], ['ann', 'anna-1', 'bob-1', 'x-ann-1']],
    ['*-{sub}', ['-ann', 'x-ann'], ['ann', 'ann-x', 'x-ann-']],
    ['a*b*c', ['abc', 'axxbxxc', 'abbbc', 'abcbc'], ['ab', 'acb', 'abcd', 'xabc']],
    ['a**a', ['aa', 'aba'], ['a']],
    ['*', ['x', '-'], []],
    ['ab*bc', ['abbc', 'ab-bc'], ['abc']],
  ] as const) {
    const over = { clientIdPatterns: [pattern] };
    for (const id of fits) assert.ok(taken(id, over), `${pattern}: ${id}`);
    for (const id of others) assert.ok(!taken(id, over), `${pattern}: ${id}`);
  }
  assert.ok(taken('b', { clientIdPatterns: ['a', 'b'] }));
});

test('a subject stands for itself: nothing in it is a pattern', () => {
  const over = { clientIdPatterns: ['{sub}-1'] };
  assert.ok(taken('*-1', over, '*'));
  assert.ok(!taken('x-1', over, '*'));
  assert.ok(taken('$&-1', over, '$&'));
  assert.ok(taken('{sub}-1', over, '{sub}'));
});
