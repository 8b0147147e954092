import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { test } from 'node:test';
import { until } from '@pushfleet/contract';
import { authorized, publishClient, startGrpc } from './testing.ts';

/** An address that leads to the port and counts the connections made to it. */
async function counting(port: number) {
  const sockets: Socket[] = [];
  const server = createServer((caller) => {
    const instance = connect(port, '127.0.0.1');
    sockets.push(
      caller.on('error', () => {}),
      instance.on('error', () => {}),
    );
    caller.pipe(instance).pipe(caller);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    address: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    connections: () => sockets.length / 2,
    close() {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}

test('an old connection makes way for another, and the streams that it carries go on', async (t) => {
  const api = await startGrpc({ connectionAgeMs: 100 });
  const door = await counting(api.api.port);
  const client = publishClient(door.address);
  t.after(async () => {
    client.close();
    door.close();
    await api.stop();
  });
  const delivered: string[] = [];
  const ends: unknown[] = [];
  const following = client.subscribe({ filters: ['t'] }, authorized());
  following.on('error', (error: unknown) => ends.push(error));
  following.on('data', ({ delivery }: { delivery?: { publication: { id: string } } }) => {
    if (delivery) delivered.push(delivery.publication.id);
  });
  await once(following, 'data');
  const published: string[] = [];
  const publish = (draft: object): Promise<void> =>
    new Promise((resolve, reject) => {
      client.publish({ draft }, authorized(), (error: Error | null) => (error ? reject(error) : resolve()));
    });
  await until(async () => {
    const id = String(published.length);
    await publish({ id, topic: 't', payload: Buffer.from(id) });
    published.push(id);
    return door.connections() >= 3;
  }, 'three connections one after the other');
  await until(() => delivered.length >= published.length, 'what was published to be delivered');
  assert.deepEqual(delivered, published);
  assert.deepEqual(ends, []);
});
