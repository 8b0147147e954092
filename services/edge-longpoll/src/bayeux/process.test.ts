import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { connectJetStream, migrate } from '@pushfleet/bus';
import { startNats, startService, until } from '@pushfleet/contract';
import { type Draft, type Namespace, PushfleetError, type Topic } from '@pushfleet/core';
import { secret } from '@pushfleet/edge/testing';
import { backwards, type Received } from './testing.ts';
import { cometd, fayeClient, type MakeClient } from './testing-clients.ts';
import { Front } from './testing-front.ts';

const streams = {
  ...{ shards: 1, replicas: 1, maxAgeMs: 3_600_000 },
  ...{ maxBytes: 64 * 1_048_576, duplicateWindowMs: 120_000 },
};
const clients: readonly (readonly [string, MakeClient])[] = [
  ['cometd, long-polling', cometd({ websocket: false, ack: false })],
  ['cometd, websocket, acknowledged', cometd({ websocket: true, ack: true })],
  ['cometd, websocket', cometd({ websocket: true, ack: false })],
  ['faye, long-polling', fayeClient({ websocket: false })],
];
const silent = { info() {}, warn() {}, error() {} };

describe('Bayeux sessions on a real NATS', () => {
  test('lose nothing when their process is killed or drained in the middle', async (context) => {
    const t = backwards(context);
    const nats = await startNats();
    t.after(() => nats.stop());
    await migrate({ servers: nats.url, ...streams });
    const env = {
      PUSHFLEET_NATS_URL: nats.url,
      PUSHFLEET_TOKEN_SECRET: secret,
      PUSHFLEET_DRAIN_SECONDS: '1',
    };
    const start = async () => {
      const service = await startService('edge-longpoll', env);
      t.after(async () => void (await service.kill('SIGKILL')));
      return { service, port: Number(service.addresses.http?.split(':').at(-1)) };
    };
    // All are there before the clients, which say goodbye before they go.
    const [first, second, third] = [await start(), await start(), await start()];
    const backbone = connectJetStream({ servers: nats.url, name: 'test', log: silent });
    await backbone.start();
    t.after(() => backbone.close());
    const front = new Front(t, first.port);
    const url = await front.listen();
    const inboxes = await Promise.all(
      clients.map(async ([name, make]) => {
        const client = await make(url);
        t.after(() => client.close());
        const ids = new Set<string>();
        const inbox = { name, client, data: [] as unknown[], repeated: 0 };
        await client.subscribe('/n/**', ({ id, data }: Received) => {
          if (ids.has(id as string)) inbox.repeated++;
          else inbox.data.push(data);
          ids.add(id as string);
        });
        return inbox;
      }),
    );
    const bus = backbone.bus('default' as Namespace);
    const all = Array.from({ length: 600 }, (_, n) => n);
    for (const n of all) {
      const draft: Draft = {
        ...{ id: `n${n}`, source: 'test', topic: 'n/1' as Topic, contentType: 'application/json' },
        payload: Buffer.from(String(n)),
      };
      const [stored] = await bus.publish([draft]);
      if (stored instanceof PushfleetError) throw stored;
      await new Promise((resolve) => setTimeout(resolve, 5));
      if (n === 200) {
        front.turnTo(second.port);
        await first.service.kill('SIGKILL');
        front.cut();
      }
      if (n === 400) {
        front.turnTo(third.port);
        assert.equal(await second.service.kill('SIGTERM'), 0);
      }
    }
    for (const { name, client, data, repeated } of inboxes) {
      await until(() => data.length >= all.length, `all arrive at ${name}`);
      assert.deepEqual(data, all, name);
      // What is repeated is what was not proven a second before, and what was under way.
      context.diagnostic(`${name}: ${repeated} of ${all.length} came twice`);
      const shaken = client.meta.filter(({ channel }) => channel === '/meta/handshake');
      assert.equal(shaken.length, 1, name);
    }
  });
});
