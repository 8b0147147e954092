import assert from 'node:assert/strict';
import { get } from 'node:http';
import { connect } from 'node:net';
import { after, suite, test } from 'node:test';
import { until } from '@pushfleet/contract';
import { RawClient } from '@pushfleet/edge/testing';
import { WebSocket } from 'ws';
import { encodeFromClient, type Received, readFromServer } from '../codec/testing-client.ts';
import { type ClientPacket, reasons } from '../codec.ts';
import { connectOf, publishOf, subscribeOf } from '../session/testing.ts';
import { startEdge, type TestEdge, token } from '../testing-edge.ts';

const scope = { after };
const edge = await startEdge(scope, {
  PUSHFLEET_EDGE_MQTT_WEBSOCKET_MESSAGE_BYTES: '8KiB',
  PUSHFLEET_CORS_ORIGINS: 'https://app.example',
});
const portOf = (of: TestEdge = edge): number => of.edge.addresses.websocket?.port as number;
const password = (claims: object = {}): Buffer => Buffer.from(token(claims));

/** A client that frames bytes as it is told and remembers what comes. */
class Framed {
  readonly socket: WebSocket;
  readonly opened: Promise<void>;
  readonly received: Received[] = [];
  readonly sizes: number[] = [];
  closeCode: number | undefined;

  constructor(
    o: { edge?: TestEdge; query?: string; headers?: Record<string, string>; protocol?: string } = {},
  ) {
    const { query = '', headers = {}, protocol = 'mqtt' } = o;
    this.socket = new WebSocket(`ws://127.0.0.1:${portOf(o.edge)}/mqtt${query}`, protocol, { headers });
    this.socket.on('message', (bytes: Buffer) => {
      this.sizes.push(bytes.length);
      this.received.push(...readFromServer(bytes, 5));
    });
    this.socket.on('error', () => {});
    this.socket.on('close', (code) => {
      this.closeCode = code;
    });
    this.opened = new Promise((resolve) => this.socket.once('open', resolve));
  }

  static async open(o: ConstructorParameters<typeof Framed>[0] = {}): Promise<Framed> {
    const client = new Framed(o);
    await client.opened;
    return client;
  }

  send(...packets: ClientPacket[]): void {
    this.socket.send(Buffer.concat(packets.map((packet) => encodeFromClient(packet, 5))));
  }

  async has(type: Received['type'], count = 1): Promise<Received[]> {
    const of = () => this.received.filter((one) => one.type === type);
    await until(() => of().length >= count || this.closeCode !== undefined, `${count} of ${type}`);
    return of();
  }

  async connack(): Promise<number | undefined> {
    const [packet] = await this.has('connack');
    return packet?.type === 'connack' ? packet.reason : undefined;
  }

  async closed(): Promise<number | undefined> {
    await until(() => this.closeCode !== undefined, 'the connection is closed');
    return this.closeCode;
  }
}

/** A frame of a client, of less than 64 KiB. */
function masked(first: number, bytes: Buffer): Buffer {
  const head = bytes.length < 126 ? [bytes.length | 0x80] : [0xfe, bytes.length >> 8, bytes.length & 0xff];
  return Buffer.concat([Buffer.of(first, ...head, 0, 0, 0, 0), bytes]);
}

suite('packets and frames have nothing to do with each other [MQTT-6.0.0-2]', () => {
  test('one packet in as many frames as it has bytes', async () => {
    const client = await Framed.open();
    for (const byte of encodeFromClient(connectOf({ password: password() }), 5))
      client.socket.send(Buffer.of(byte));
    assert.equal(await client.connack(), 0);
    client.socket.terminate();
  });

  test('many packets in one frame, one fragment at a time', async () => {
    const client = await Framed.open();
    const bytes = Buffer.concat([
      encodeFromClient(connectOf({ password: password(), clientId: 'many' }), 5),
      encodeFromClient(subscribeOf(1, ['many/#:1']), 5),
      encodeFromClient(publishOf('many/a', 'x'.repeat(5_000), { qos: 1, packetId: 2 }), 5),
      encodeFromClient({ type: 'pingreq' }, 5),
    ]);
    for (let at = 0; at < bytes.length; at += 100) {
      client.socket.send(bytes.subarray(at, at + 100), { binary: true, fin: at + 100 >= bytes.length });
    }
    for (const type of ['connack', 'suback', 'puback', 'pingresp', 'publish'] as const)
      await client.has(type);
    assert.equal(client.received[0]?.type, 'connack');
    client.socket.terminate();
  });

  test('messages of the same bytes wait their turn behind what holds the reading up, the close frame too', async () => {
    for (const clientId of ['held', 'refused']) {
      const raw = new RawClient(portOf(), upgrade());
      await raw.has('101');
      const token = clientId === 'held' ? password() : Buffer.from('wrong');
      const messages: ClientPacket[] = [connectOf({ password: token, clientId })];
      for (let packetId = 1; packetId <= 9; packetId++) {
        messages.push(subscribeOf(packetId, [`held/${packetId}`]), { type: 'pingreq' });
      }
      const frames = messages.map((packet) => masked(0x82, encodeFromClient(packet, 5)));
      raw.socket.write(Buffer.concat([...frames, masked(0x88, Buffer.from('03e8', 'hex'))]));
      await raw.end();
      const answers = Buffer.from(raw.received, 'latin1').toString('hex').split('8202d000');
      assert.equal(answers.length - 1, clientId === 'held' ? 9 : 0);
      assert.match(answers.at(-1) ?? '', /880203e8$/);
    }
    const client = await Framed.open();
    client.send(connectOf({ password: password(), clientId: 'after' }));
    assert.equal(await client.connack(), 0);
    client.socket.terminate();
  });

  test('what is long is whole, too', async () => {
    const client = await Framed.open();
    client.send(connectOf({ password: password(), clientId: 'long' }), subscribeOf(1, ['long:1']));
    await client.has('suback');
    for (const length of [4_000, 4_096, 70_000]) await edge.publish('long', 'x'.repeat(length));
    await client.has('publish', 3);
    const lengths = client.received.flatMap((one) => (one.type === 'publish' ? [one.payload.length] : []));
    assert.deepEqual(lengths, [4_000, 4_096, 70_000]);
    client.socket.terminate();
  });

  test('a message at the limit, and above it', async () => {
    const at = await Framed.open();
    at.send(connectOf({ password: password(), clientId: 'at' }));
    await at.connack();
    const publish = (length: number) => encodeFromClient(publishOf('a', 'x'.repeat(length)), 5);
    const spare = publish(5_000).length - 5_000;
    at.socket.send(publish(8_192 - spare));
    at.send({ type: 'pingreq' });
    await at.has('pingresp');
    at.socket.send(publish(8_193 - spare));
    assert.equal(await at.closed(), 1009);
  });

  test('a client that reads nothing does not fill this process', async () => {
    const client = await Framed.open();
    client.send(connectOf({ password: password(), clientId: 'lazy' }), subscribeOf(1, ['lazy:1']));
    await client.has('suback');
    client.socket.pause();
    for (let i = 0; i < 200; i++) await edge.publish('lazy', 'x'.repeat(100_000));
    assert.ok(edge.hubs.stats().outbox.bytes <= 5 * 1_048_576);
    client.socket.resume();
    await client.has('publish', 200);
    client.socket.terminate();
  });
});

suite('what is no MQTT ends the connection', () => {
  test('a text frame [MQTT-6.0.0-1]', async () => {
    for (const early of [true, false]) {
      const client = await Framed.open();
      if (!early) {
        client.send(connectOf({ password: password(), clientId: 'text' }));
        await client.connack();
      }
      client.socket.send('text');
      assert.equal(await client.closed(), 1003);
    }
  });

  test('a broken rule of MQTT: its own last word, and then the close', async () => {
    const client = await Framed.open();
    client.send(connectOf({ password: password() }));
    await client.connack();
    client.socket.send(Buffer.from('c100', 'hex'));
    assert.equal(await client.closed(), 1000);
    const [last] = await client.has('disconnect');
    assert.equal(last?.type === 'disconnect' && last.reason, reasons.malformedPacket);
  });

  test('a broken rule of WebSocket: a frame without a mask', async () => {
    const raw = new RawClient(portOf(), upgrade());
    await raw.has('101');
    raw.socket.write(Buffer.from('820102', 'hex'));
    await raw.end();
    assert.match(Buffer.from(raw.received, 'latin1').toString('hex'), /88..03ea/);
  });

  test('a client that closes is answered, and its will is published', async () => {
    const watcher = await Framed.open();
    watcher.send(connectOf({ password: password(), clientId: 'watcher' }), subscribeOf(1, ['wills/#:1']));
    await watcher.has('suback');
    const will = {
      topic: 'wills/a',
      payload: Buffer.from('gone'),
      qos: 1,
      retain: false,
      properties: {},
    } as const;
    const client = await Framed.open();
    client.send(connectOf({ password: password(), clientId: 'a', will }));
    await client.connack();
    client.socket.close(1001);
    assert.equal(await client.closed(), 1001);
    await watcher.has('publish');
    watcher.socket.terminate();
  });

  test('DISCONNECT, and the server closes', async () => {
    const client = await Framed.open();
    client.send(connectOf({ password: password(), clientId: 'bye' }));
    await client.connack();
    client.send({ type: 'disconnect', reason: 0, properties: {} });
    assert.equal(await client.closed(), 1000);
  });
});

function upgrade(more: Record<string, string | undefined> = {}, line = 'GET /mqtt HTTP/1.1'): string {
  const headers = {
    ...{ Host: 'localhost', Connection: 'Upgrade', Upgrade: 'websocket' },
    ...{ 'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==', 'Sec-WebSocket-Version': '13' },
    'Sec-WebSocket-Protocol': 'mqtt',
    ...more,
  };
  const lines = Object.entries(headers).flatMap(([name, value]) =>
    value === undefined ? [] : `${name}: ${value}\r\n`,
  );
  return `${line}\r\n${lines.join('')}\r\n`;
}

suite('the handshake', () => {
  for (const [offered, chosen] of [
    ['mqtt', 'mqtt'],
    ['mqttv3.1', 'mqttv3.1'],
    ['x, mqttv3.1, mqtt', 'mqtt'],
    ['x,mqttv3.1', 'mqttv3.1'],
  ] as const) {
    test(`of ${offered}: ${chosen} [MQTT-6.0.0-4]`, async () => {
      const raw = await new RawClient(portOf(), upgrade({ 'Sec-WebSocket-Protocol': offered })).has(
        '\r\n\r\n',
      );
      assert.equal(raw.status, 101);
      assert.match(raw.head, new RegExp(`sec-websocket-protocol: ${chosen}\r\n`));
      raw.close();
    });
  }

  for (const [what, request, status, says] of [
    [
      'no subprotocol [MQTT-6.0.0-3]',
      upgrade({ 'Sec-WebSocket-Protocol': undefined }),
      400,
      /Offer \\"mqtt\\"/,
    ],
    ['others alone', upgrade({ 'Sec-WebSocket-Protocol': 'mqttv5' }), 400, /"mqttv5/],
    ['no key', upgrade({ 'Sec-WebSocket-Key': undefined }), 400, /Sec-WebSocket-Key/],
    ['another version', upgrade({ 'Sec-WebSocket-Version': '8' }), 426, /sec-websocket-version: 13/],
    ['no upgrade', upgrade({ Upgrade: undefined, Connection: undefined }), 426, /upgrade: websocket/],
    ['another method', upgrade({}, 'POST /mqtt HTTP/1.1'), 405, /allow: GET/],
    ['another path', upgrade({}, 'GET /ws HTTP/1.1'), 404, /\/mqtt/],
  ] as const) {
    test(`${what}: ${status}`, async () => {
      const raw = await new RawClient(portOf(), request).has('}');
      assert.equal(raw.status, status);
      assert.match(raw.received, says);
      raw.close();
    });
  }

  test('compression is not taken up: payloads are what they are', async () => {
    const raw = new RawClient(portOf(), upgrade({ 'Sec-WebSocket-Extensions': 'permessage-deflate' }));
    await raw.has('101');
    assert.doesNotMatch(raw.head, /extensions/);
    raw.close();
  });

  test('a head that is too long', async () => {
    const small = await startEdge(scope, { PUSHFLEET_EDGE_MQTT_HEADER_BYTES: '1KiB' });
    const raw = await new RawClient(portOf(small), upgrade({ Cookie: 'x'.repeat(1_100) })).end();
    assert.equal(raw.status, 431);
  });

  test('one that never comes, or brings no CONNECT, is cut', async () => {
    const hurried = await startEdge(scope, { PUSHFLEET_EDGE_MQTT_CONNECT_SECONDS: '0.5' });
    const silent = connect(portOf(hurried), '127.0.0.1');
    const slow = connect(portOf(hurried), '127.0.0.1');
    slow.write('GET /mqtt HTTP/1.1\r\nHost:');
    // A request that is answered is no way to stay.
    get(
      { port: portOf(hurried), path: '/', agent: false, headers: { connection: 'keep-alive' } },
      (answer) => {
        answer.resume();
      },
    ).on('error', () => {});
    let ended = 0;
    for (const socket of [silent, slow]) {
      socket.on('close', () => ended++);
      socket.on('error', () => {});
      socket.resume();
    }
    const idle = await Framed.open({ edge: hurried });
    await until(() => ended === 2 && hurried.edge.guests === 0, 'they are cut');
    assert.equal(await idle.closed(), 1006);
  });
});

suite('who comes, by the handshake', () => {
  const origin = (name: string) => ({ origin: name });
  async function answer(
    o: ConstructorParameters<typeof Framed>[0],
    over: object = {},
  ): Promise<number | undefined> {
    const client = await Framed.open(o);
    client.send(connectOf(over));
    const reason = await client.connack();
    client.socket.terminate();
    return reason;
  }

  test('Authorization, a ticket, or the cookie of this origin or a listed one', async () => {
    const cookie = { cookie: `pushfleet=${token()}` };
    const host = `127.0.0.1:${portOf()}`;
    assert.equal(await answer({ headers: { authorization: `Bearer ${token()}` } }), 0);
    assert.equal(await answer({ headers: cookie }), 0);
    assert.equal(await answer({ headers: { ...cookie, ...origin(`http://${host}`) } }), 0);
    assert.equal(await answer({ headers: { ...cookie, ...origin('https://app.example') } }), 0);
    assert.equal(await answer({ query: `?ticket=${edge.registry.ticket(token())}` }), 0);
  });

  test('the page of another origin needs a token of its own', async () => {
    const headers = { cookie: `pushfleet=${token()}`, ...origin('https://evil.example') };
    assert.equal(await answer({ headers }), reasons.notAuthorized);
    const ticket = `?ticket=${edge.registry.ticket(token())}`;
    assert.equal(
      await answer({ query: ticket, headers: origin('https://evil.example') }),
      reasons.notAuthorized,
    );
    assert.equal(await answer({ headers }, { password: password() }), 0);
  });

  test('nobody: CONNACK says so, also to a page', async () => {
    assert.equal(await answer({}), reasons.notAuthorized);
    assert.equal(await answer({ headers: { authorization: 'Bearer x.y.z' } }), reasons.badUserNameOrPassword);
    assert.equal(await answer({ query: '?ticket=spent' }), reasons.badUserNameOrPassword);
  });

  test('a token in CONNECT comes first', async () => {
    const headers = { cookie: `pushfleet=${token({ sub: 'bob' })}` };
    assert.equal(await answer({ headers }, { password: Buffer.from('x') }), reasons.badUserNameOrPassword);
    assert.equal(await answer({ headers }, { password: password({ sub: 'eve' }) }), 0);
  });

  test('a ticket leaves a cookie behind', async () => {
    const ticket = edge.registry.ticket(token());
    const raw = new RawClient(portOf(), upgrade({}, `GET /mqtt?ticket=${ticket} HTTP/1.1`));
    await raw.has('101');
    assert.match(raw.head, /set-cookie: pushfleet=.*httponly/);
    raw.close();
  });

  test('one that was revoked meanwhile is nobody', async () => {
    const client = await Framed.open({ headers: { cookie: `pushfleet=${token({ sub: 'mallory' })}` } });
    edge.registry.revoke('mallory');
    client.send(connectOf({}));
    assert.equal(await client.connack(), reasons.banned);
  });
});

test('nobody is left behind', async () => {
  await until(() => edge.edge.guests + edge.edge.size === 0, 'everyone is forgotten');
});
