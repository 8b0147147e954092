import assert from 'node:assert/strict';
import { connect, type Socket } from 'node:net';
import { after, suite, test } from 'node:test';
import { connect as connectTls } from 'node:tls';
import { Authority, until, withoutOpenssl } from '@pushfleet/contract';

import { WebSocket } from 'ws';
import { encodeFromClient } from '../codec/testing-client.ts';
import { connectOf } from '../session/testing.ts';
import { RawMqtt, startEdge, type TestEdge, token } from '../testing-edge.ts';
import { header1, header2, ipv4 } from './testing-proxy.ts';

const scope = { after };
const behind = { PUSHFLEET_EDGE_MQTT_PROXY_PROTOCOL_FROM: '127.0.0.1' };
const connectPacket = encodeFromClient(connectOf({ password: Buffer.from(token()) }), 5);

/** A socket on which this was written before anything of the client's. */
function proxied(edge: Pick<TestEdge, 'port'>, header: Buffer): { socket: Socket; client: RawMqtt } {
  const socket = connect(edge.port, '127.0.0.1');
  socket.write(header);
  return { socket, client: new RawMqtt(edge, 5, socket) };
}

suite('behind a proxy', async () => {
  const edge = await startEdge(scope, behind);

  for (const [what, header] of [
    ['version 2', header2()],
    ['version 2 with extensions', header2({ extensions: Buffer.alloc(500) })],
    ['version 1', header1()],
    ["a connection of the proxy's own", header2({ command: 0x20, transport: 0, addresses: Buffer.alloc(0) })],
  ] as const) {
    test(`${what}: CONNECT comes behind the header`, async () => {
      const { client } = proxied(edge, Buffer.concat([header, connectPacket]));
      assert.equal((await client.has('connack'))[0]?.reason, 0);
      client.socket.destroy();
    });

    test(`${what}: header and CONNECT come byte by byte`, async () => {
      const { client, socket } = proxied(edge, Buffer.alloc(0));
      socket.setNoDelay(true);
      for (const byte of Buffer.concat([header, connectPacket])) {
        await new Promise((resolve) => socket.write(Buffer.of(byte), resolve));
      }
      assert.equal((await client.has('connack'))[0]?.reason, 0);
      client.socket.destroy();
    });
  }

  test('one without a header, or with a malformed one, is closed without a word', async () => {
    for (const bytes of [connectPacket, Buffer.from('PROXY TCP4 x\r\n'), header2({ command: 0x31 })]) {
      const { client } = proxied(edge, bytes);
      assert.deepEqual(await client.end(), []);
    }
    await until(() => edge.edge.guests === 0, 'nobody is left');
  });

  test('one whose header never ends is cut', async () => {
    const hurried = await startEdge(scope, { ...behind, PUSHFLEET_EDGE_MQTT_CONNECT_SECONDS: '0.5' });
    const { client } = proxied(hurried, header2().subarray(0, 20));
    assert.deepEqual(await client.end(), []);
    const mute = proxied(hurried, header2());
    assert.deepEqual(await mute.client.end(), []);
  });

  test('one that only looks whether anybody listens is nobody', async () => {
    const { socket } = proxied(edge, Buffer.alloc(0));
    socket.end();
    await until(() => socket.destroyed && edge.edge.guests === 0, 'it is forgotten');
  });

  test('the address that the proxy says is the one that is counted', async () => {
    const limited = await startEdge(scope, { ...behind, PUSHFLEET_EDGE_MQTT_CONNECTIONS_PER_ADDRESS: '2' });
    const open = async (header: Buffer, clientId: string) => {
      const packet = encodeFromClient(connectOf({ clientId, password: Buffer.from(token()) }), 5);
      const { client } = proxied(limited, Buffer.concat([header, packet]));
      await client.has('connack');
      return client;
    };
    const from = (address: string) => header2({ addresses: ipv4(address) });
    const first = await open(from('192.0.2.1'), 'a');
    assert.equal((await open(header1('192.0.2.1'), 'b')).of('connack').length, 1);
    assert.deepEqual((await open(from('192.0.2.1'), 'c')).received, []);
    assert.equal((await open(from('192.0.2.2'), 'd')).of('connack').length, 1);
    // Whatever the proxy says nothing of is not counted at all.
    const local = header2({ command: 0x20 });
    for (const id of ['e', 'f', 'g']) assert.equal((await open(local, id)).of('connack').length, 1);
    first.socket.destroy();
    await until(() => limited.edge.size === 5, 'one left');
    assert.equal((await open(from('192.0.2.1'), 'h')).of('connack').length, 1);
  });
});

suite('from anybody else', () => {
  test('a header is no CONNECT', async () => {
    const edge = await startEdge(scope, { PUSHFLEET_EDGE_MQTT_PROXY_PROTOCOL_FROM: '10.0.0.0/8' });
    for (const header of [header1(), header2()]) {
      const { client } = proxied(edge, Buffer.concat([header, connectPacket]));
      await client.end();
      assert.equal(client.of('connack').filter(({ reason }) => reason === 0).length, 0);
    }
    const plain = await RawMqtt.open(edge);
    assert.equal(plain.of('connack')[0]?.reason, 0);
    plain.socket.destroy();
  });

  test('the address of the socket is counted, below, at and above the most', async () => {
    const edge = await startEdge(scope, { PUSHFLEET_EDGE_MQTT_CONNECTIONS_PER_ADDRESS: '2' });
    const [one] = [await RawMqtt.open(edge, { clientId: 'a' }), await RawMqtt.open(edge, { clientId: 'b' })];
    assert.deepEqual(await new RawMqtt(edge).end(), []);
    // On whichever transport.
    const webSocket = new WebSocket(`ws://127.0.0.1:${edge.edge.addresses.websocket?.port}/mqtt`, 'mqtt');
    let failed = false;
    webSocket.on('error', () => {
      failed = true;
    });
    await until(() => failed, 'the WebSocket is refused');
    one.socket.destroy();
    await until(() => edge.edge.size === 1, 'one left');
    assert.equal((await RawMqtt.open(edge, { clientId: 'c' })).of('connack')[0]?.reason, 0);
  });

  test('so many at the door as may be, and one more', async () => {
    const edge = await startEdge(scope, { PUSHFLEET_EDGE_MQTT_ARRIVALS: '2' });
    const waiting = [new RawMqtt(edge), new RawMqtt(edge)];
    await until(() => edge.edge.guests === 2, 'both are there');
    assert.deepEqual(await new RawMqtt(edge).end(), []);
    waiting[0]?.socket.write(connectPacket);
    await waiting[0]?.has('connack');
    const next = await RawMqtt.open(edge, { clientId: 'next' });
    assert.equal(next.of('connack')[0]?.reason, 0);
    for (const { socket } of [...waiting, next]) socket.destroy();
  });
});

test('over TLS: the header in clear, and the handshake behind it', { skip: withoutOpenssl }, async () => {
  const authority = new Authority();
  after(() => authority.close());
  const server = authority.issue('IP:127.0.0.1');
  const edge = await startEdge(scope, {
    ...behind,
    PUSHFLEET_EDGE_MQTT_TLS_CERT: server.cert,
    PUSHFLEET_EDGE_MQTT_TLS_KEY: server.key,
    PUSHFLEET_EDGE_MQTT_CONNECTIONS_PER_ADDRESS: '1',
  });
  const open = (header: Buffer): RawMqtt => {
    const raw = connect(edge.edge.addresses.tls?.port as number, '127.0.0.1');
    raw.write(header);
    const socket = connectTls({ socket: raw, ca: authority.cert, host: '127.0.0.1' });
    const client = new RawMqtt(edge, 5, socket);
    socket.once('secureConnect', () => socket.write(connectPacket));
    return client;
  };
  const client = open(header2());
  assert.equal((await client.has('connack'))[0]?.reason, 0);
  assert.deepEqual(await open(header2()).end(), []);
  assert.deepEqual(await open(Buffer.alloc(0)).end(), []);
  client.socket.destroy();
  await until(() => edge.edge.guests + edge.edge.size === 0, 'nobody is left');
});

test('X-Forwarded-For says whose a WebSocket is, where a trusted proxy says it', async () => {
  const limit = { PUSHFLEET_EDGE_MQTT_CONNECTIONS_PER_ADDRESS: '1' };
  const trusting = await startEdge(scope, {
    ...limit,
    PUSHFLEET_EDGE_MQTT_FORWARDED_FROM: '127.0.0.1,10.0.0.0/8',
  });
  const status = async (edge: TestEdge, forwarded: string | undefined): Promise<'open' | 'refused'> => {
    const headers: Record<string, string> = forwarded === undefined ? {} : { 'x-forwarded-for': forwarded };
    const socket = new WebSocket(`ws://127.0.0.1:${edge.edge.addresses.websocket?.port}/mqtt`, 'mqtt', {
      headers,
    });
    return new Promise((resolve) => {
      socket.once('open', () => resolve('open'));
      socket.once('error', () => resolve('refused'));
    });
  };
  assert.equal(await status(trusting, '192.0.2.1'), 'open');
  assert.equal(await status(trusting, '192.0.2.1'), 'refused');
  // What the client itself claims stands in front of what the proxies add.
  assert.equal(await status(trusting, '192.0.2.9, 192.0.2.1, 10.0.0.2'), 'refused');
  assert.equal(await status(trusting, '192.0.2.1, 192.0.2.2'), 'open');
  for (const nobody of [undefined, 'unknown', '10.0.0.3', ''])
    assert.equal(await status(trusting, nobody), 'open');
});
