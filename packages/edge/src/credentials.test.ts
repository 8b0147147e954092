import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PushfleetError } from '@pushfleet/core';
import type { Grant } from '@pushfleet/runtime';
import { Cors } from './cors.ts';
import { Credentials, type SameSite } from './credentials.ts';

/** Tokens are their subject's name; `old` has expired. Tickets are `for-<token>`, each good once. */
function fixture(o: { sameSite?: SameSite; registryDown?: boolean } = {}) {
  const spent = new Set<string>();
  const asked: string[] = [];
  const credentials = new Credentials({
    tokens: {
      check: async (token) => {
        if (token === 'old') throw new PushfleetError('token_expired', 'The token has expired.');
        return { subject: token, expiresAt: Date.now() + 60_500 } as Grant;
      },
    },
    registry: {
      redeemTicket: async (ticket) => {
        asked.push(ticket);
        if (o.registryDown) throw new PushfleetError('unavailable', 'no registry');
        if (spent.has(ticket)) throw new PushfleetError('unauthenticated', 'spent');
        spent.add(ticket);
        return ticket.slice('for-'.length);
      },
    },
    cors: new Cors(['https://app.example']),
    sameSite: o.sameSite ?? 'Strict',
  });
  return { credentials, asked };
}

const rejects = (promise: Promise<unknown>, code: string): Promise<void> =>
  assert.rejects(promise, (error) => error instanceof PushfleetError && error.code === code);

const ask = (ticket: string | undefined) => ({ ticket, returning: false });

test('the Authorization header counts before all else, whichever page asks', async () => {
  const { credentials, asked } = fixture();
  const headers = { authorization: 'Bearer ann', cookie: 'pushfleet=bob', origin: 'https://evil.example' };
  assert.equal((await credentials.identify(headers, ask('for-cid'))).grant.subject, 'ann');
  assert.deepEqual(asked, []);
  await rejects(
    credentials.identify({ authorization: 'Basic x', cookie: 'pushfleet=bob' }, ask(undefined)),
    'unauthenticated',
  );
});

test('the cookie alone counts', async () => {
  const { credentials } = fixture();
  const visitor = await credentials.identify({ cookie: 'a=b; pushfleet=bob' }, ask(undefined));
  assert.equal(visitor.grant.subject, 'bob');
  assert.equal(visitor.setCookie, undefined);
});

test('a fresh ticket counts before the cookie of somebody else and becomes the cookie', async () => {
  const { credentials } = fixture();
  const visitor = await credentials.identify({ cookie: 'pushfleet=bob', host: 'a.example' }, ask('for-ann'));
  assert.equal(visitor.grant.subject, 'ann');
  assert.equal(visitor.setCookie, 'pushfleet=ann; Path=/; Max-Age=60; HttpOnly; Secure; SameSite=Strict');
});

test('a reconnect with its spent ticket lives by the cookie and asks no registry', async () => {
  const { credentials, asked } = fixture();
  await credentials.identify({}, ask('for-ann'));
  const headers = { cookie: 'pushfleet=ann' };
  const returning = { ...ask('for-ann'), returning: true };
  assert.equal((await credentials.identify(headers, returning)).grant.subject, 'ann');
  assert.deepEqual(asked, ['for-ann']);
});

test('a spent ticket gives way to the cookie, also where nothing says that the request returns', async () => {
  const { credentials } = fixture();
  await credentials.identify({}, ask('for-ann'));
  assert.equal(
    (await credentials.identify({ cookie: 'pushfleet=ann' }, ask('for-ann'))).grant.subject,
    'ann',
  );
  await rejects(credentials.identify({}, ask('for-ann')), 'unauthenticated');
});

test('a cookie that has expired gives way to a fresh ticket', async () => {
  const { credentials } = fixture();
  const headers = { cookie: 'pushfleet=old' };
  const returning = { ...ask('for-ann'), returning: true };
  assert.equal((await credentials.identify(headers, returning)).grant.subject, 'ann');
});

test('while the registry is away a ticket gives way to nobody', async () => {
  const { credentials } = fixture({ registryDown: true });
  await rejects(credentials.identify({ cookie: 'pushfleet=bob' }, ask('for-ann')), 'unavailable');
});

test('pages of other sites use neither cookie nor ticket', async () => {
  const { credentials, asked } = fixture();
  const origin = 'https://evil.example';
  await rejects(credentials.identify({ cookie: 'pushfleet=bob', origin }, ask(undefined)), 'forbidden');
  await rejects(credentials.identify({ 'sec-fetch-site': 'cross-site' }, ask('for-eve')), 'forbidden');
  assert.deepEqual(asked, [], 'the ticket is not spent');
});

test('nobody is told how to get in', async () => {
  const { credentials } = fixture();
  await rejects(credentials.identify({}, ask(undefined)), 'unauthenticated');
});

test('cleartext on this machine gets a cookie without Secure', async () => {
  for (const host of ['localhost:8000', '127.0.0.1:8081', '[::1]:8081', 'localhost']) {
    const { setCookie } = await fixture({ sameSite: 'Lax' }).credentials.identify({ host }, ask('for-ann'));
    assert.equal(setCookie, 'pushfleet=ann; Path=/; Max-Age=60; HttpOnly; SameSite=Lax');
  }
  for (const host of ['localhost.evil.example', 'a.example', '128.0.0.1']) {
    const { setCookie } = await fixture({ sameSite: 'None' }).credentials.identify({ host }, ask('for-ann'));
    assert.equal(setCookie, 'pushfleet=ann; Path=/; Max-Age=60; HttpOnly; Secure; SameSite=None');
  }
});
