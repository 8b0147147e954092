import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { until } from '@pushfleet/contract';

import { backwards, type Received, startBayeux } from './testing.ts';
import { cometd, fayeClient, type MakeClient } from './testing-clients.ts';
import { Front } from './testing-front.ts';

const clients: Readonly<Record<string, MakeClient>> = {
  'cometd, long-polling': cometd({ websocket: false, ack: false }),
  'cometd, long-polling, acknowledged': cometd({ websocket: false, ack: true }),
  'cometd, websocket': cometd({ websocket: true, ack: false }),
  'cometd, websocket, acknowledged': cometd({ websocket: true, ack: true }),
  'faye, long-polling': fayeClient({ websocket: false }),
  'faye, websocket': fayeClient({ websocket: true }),
};

const numbers = (count: number): number[] => Array.from({ length: count }, (_, n) => n);

/** What came, each publication once, in the order in which it came first. */
class Inbox {
  readonly #ids = new Set<string>();
  readonly data: unknown[] = [];
  repeated = 0;

  readonly on = ({ id, data }: Received): void => {
    if (this.#ids.has(id as string)) this.repeated++;
    else {
      this.#ids.add(id as string);
      this.data.push(data);
    }
  };
}

for (const [name, make] of Object.entries(clients)) {
  describe(name, () => {
    test('publishes, and receives by channel and by pattern', async (context) => {
      const t = backwards(context);
      const { url } = await startBayeux(t);
      const client = await make(url);
      t.after(() => client.close());
      const [one, below] = [new Inbox(), new Inbox()];
      await client.subscribe('/a/*', one.on);
      assert.equal(await client.publish('/a/b', { n: 1 }), true);
      await until(() => one.data.length === 1, 'the first arrives');
      await client.subscribe('/c/**', below.on);
      for (const channel of ['/c', '/c/d', '/c/d/e', '/a/b']) {
        assert.equal(await client.publish(channel, channel), true);
      }
      await until(() => below.data.includes('/c/d/e') && one.data.length >= 2, 'those below arrive');
      assert.ok(!below.data.includes('/c'));
    });

    test('a refused subscription is told', async (context) => {
      const t = backwards(context);
      const { url } = await startBayeux(t);
      const client = await make(url);
      t.after(() => client.close());
      await assert.rejects(async () => client.subscribe('/meta/x', () => {}));
    });

    test('loses nothing and keeps the order while its instance is killed', async (context) => {
      const t = backwards(context);
      const first = await startBayeux(t);
      const second = await startBayeux(t, { beside: first });
      const front = new Front(t, first.port);
      const client = await make(await front.listen());
      t.after(() => client.close());
      const inbox = new Inbox();
      await client.subscribe('/n/*', inbox.on);
      const all = numbers(300);
      for (const n of all) {
        await second.publish(`n/${n % 3}`, JSON.stringify(n), { contentType: 'application/json' });
        if (n === 100) {
          // A process that is killed sends nothing more.
          front.swallows = () => true;
          front.turnTo(second.port);
          await first.kill();
          front.cut();
          front.swallows = () => false;
        }
        if (n % 10 === 0) await new Promise((resolve) => setTimeout(resolve, 5));
      }
      await until(() => inbox.data.length >= all.length, 'all arrive');
      assert.deepEqual(inbox.data, all);
      assert.equal(client.meta.filter(({ channel }) => channel === '/meta/handshake').length, 1);
    });

    test('loses nothing where answers are lost on the way', async (context) => {
      const t = backwards(context);
      const { port, publish } = await startBayeux(t);
      const front = new Front(t, port);
      const client = await make(await front.listen());
      t.after(() => client.close());
      const inbox = new Inbox();
      await client.subscribe('/n', inbox.on);
      let carriers = 0;
      front.swallows = (bytes) => bytes.includes('"/n"') && bytes.includes('"data"') && ++carriers % 4 === 1;
      const all = numbers(60);
      for (const n of all) {
        await publish('n', JSON.stringify(n), { contentType: 'application/json' });
        await until(() => n % 5 > 0 || inbox.data.length > n - 5, 'it keeps up');
      }
      await until(() => inbox.data.length >= all.length, 'all arrive');
      assert.deepEqual(inbox.data, all);
      assert.ok(front.swallowed > 0);
    });
  });
}
