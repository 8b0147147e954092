import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Namespace } from '@pushfleet/core';
import { createTicket, parseTicket, seal, unseal } from './ticket.ts';

const team = 'team-a' as Namespace;
const contents = { token: 'header.payload.signature', subject: 'alice' };
const refused = { code: 'unauthenticated' };

describe('ticket', () => {
  it('is URL-safe, never the same twice, and leads back to its record', () => {
    const ticket = createTicket(team);
    assert.match(ticket.text, /^team-a\.[A-Za-z0-9_-]{43}$/);
    assert.notEqual(createTicket(team).text, ticket.text);
    assert.deepEqual(parseTicket(ticket.text), ticket);
    assert.deepEqual(unseal(parseTicket(ticket.text), seal(ticket, contents)), contents);
  });

  it('shows nothing of itself or of the token in what is stored', () => {
    const ticket = createTicket(team);
    const record = seal(ticket, contents);
    const stored = ticket.id + record + Buffer.from(record, 'base64').toString('latin1');
    for (const hidden of [ticket.text.slice(7), contents.token, contents.subject]) {
      assert.ok(!stored.includes(hidden), `found ${hidden}`);
    }
  });

  it('opens no record but its own, and none that was changed', () => {
    const ticket = createTicket(team);
    const record = seal(ticket, contents);
    assert.throws(() => unseal(createTicket(team), record), refused);
    const bytes = Buffer.from(record, 'base64');
    for (const at of [0, 12, 28, bytes.length - 1]) {
      const changed = Buffer.from(bytes);
      changed[at] = (changed[at] as number) ^ 1;
      assert.throws(() => unseal(ticket, changed.toString('base64')), refused, `byte ${at}`);
    }
    for (const short of ['', 'AA==', bytes.toString('base64', 0, 20)]) {
      assert.throws(() => unseal(ticket, short), refused);
    }
  });

  it('names another record in another namespace', () => {
    const ticket = createTicket(team);
    assert.notEqual(parseTicket(ticket.text.replace('team-a', 'team-b')).id, ticket.id);
  });

  const good = createTicket(team).text;
  const last = good.at(-1) as string;
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
  const sameBits = alphabet[alphabet.indexOf(last) ^ 1] as string;
  for (const [what, text] of Object.entries({
    empty: '',
    'a namespace alone': 'team-a.',
    'a secret alone': good.slice(6),
    'no namespace': good.slice(7),
    'one character less': good.slice(0, -1),
    'one character more': `${good}A`,
    'other padding bits': good.slice(0, -1) + sameBits,
    'a key pattern': 'team-a:ticket:*',
    'two dots': `a.${good}`,
    'a line break': `${good}\n`,
    'a long namespace': `${'n'.repeat(65)}.${good.slice(7)}`,
    'a megabyte': 'x'.repeat(1_048_576),
  })) {
    it(`refuses ${what}, without repeating it`, () => {
      assert.throws(() => parseTicket(text), {
        code: 'unauthenticated',
        message: /unknown, was used before/,
      });
    });
  }
});
