import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Grant } from '@pushfleet/runtime';
import { Lobby } from './lobby.ts';

const limit = 32_768;

/** A guest whose token is being checked. */
function guest() {
  const refused: string[] = [];
  const said: number[] = [];
  const { promise, resolve } = Promise.withResolvers<Grant>();
  const lobby = new Lobby({
    tokens: { check: () => promise },
    wheel: { after: () => () => undefined },
    authMs: 5_000,
    end: () => undefined,
    admit: () =>
      ({ message: (data: Buffer) => said.push(data.length) }) as unknown as ReturnType<
        ConstructorParameters<typeof Lobby>[0]['admit']
      >,
    onRefused: ({ code }) => refused.push(code),
  });
  lobby.message(Buffer.from('{"type":"auth","token":"a.b.c"}'), false);
  const admitted = async () => {
    resolve({} as Grant);
    await new Promise((done) => setImmediate(done));
  };
  return { lobby, refused, said, admitted };
}

test('what is kept while a token is checked is bounded as it is after inflating', async () => {
  for (const bytes of [limit - 1, limit]) {
    const { lobby, refused, said, admitted } = guest();
    // As it came: a kilobyte on the wire.
    lobby.heard(1_000);
    lobby.message(Buffer.alloc(bytes, 32), true);
    await admitted();
    assert.deepEqual([refused, said], [[], [bytes]]);
  }
  const { lobby, refused, said, admitted } = guest();
  lobby.message(Buffer.alloc(limit, 32), true);
  lobby.message(Buffer.alloc(1, 32), true);
  await admitted();
  assert.deepEqual([refused, said], [['payload_too_large'], []]);
});
