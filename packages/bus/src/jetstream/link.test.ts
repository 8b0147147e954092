import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { type NatsCluster, startNats } from '@pushfleet/contract';
import { connectJetStream } from './backbone.ts';
import { Block, headerLine } from './headers.ts';
import { Link } from './link.ts';
import { silent } from './log.ts';
import { migrate } from './migrate.ts';
import { testStreams } from './testing.ts';

describe('what is larger than the broker takes at once', () => {
  let nats: NatsCluster;
  before(async () => {
    nats = await startNats();
  });
  after(() => nats.stop());

  const tooLarge = { code: 'payload_too_large', detail: { limit: 1_048_576 } };

  it('is refused before it is sent', async () => {
    const link = new Link({ servers: nats.url, name: 'large', log: silent });
    await link.connect();
    link.connection.subscribe('echo', {
      callback: (_, message) => void message.respond(String(message.data.length)),
    });
    const lines = headerLine('Pf-Id', 'x');
    for (const [block, most] of [
      [undefined, 1_048_576],
      [new Block(lines), 1_048_576 - Block.size(lines)],
    ] as const) {
      for (const bytes of [most - 1, most]) {
        const answer = await link.request('echo', new Uint8Array(bytes), block);
        assert.equal(answer.string(), String(bytes));
      }
      await assert.rejects(link.request('echo', new Uint8Array(most + 1), block), tooLarge);
      await assert.rejects(link.request('echo', 'é'.repeat(most / 2 + 1), block), tooLarge);
    }
    await link.close();
  });

  it('is refused by a ledger, which stays as it was', async () => {
    await migrate({ servers: nats.url, ...testStreams });
    const backbone = connectJetStream({ servers: nats.url, name: 'large' });
    await backbone.start();
    const ledger = backbone.ledger('sessions');
    const revision = await ledger.put('a', new Uint8Array(1_000_000));
    await assert.rejects(ledger.put('a', new Uint8Array(1_048_576), { ifRevision: revision }), tooLarge);
    assert.equal((await ledger.get('a'))?.revision, revision);
    await backbone.close();
  });
});
