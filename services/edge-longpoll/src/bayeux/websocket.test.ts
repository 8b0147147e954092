import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { until } from '@pushfleet/contract';
import type { Scope } from '@pushfleet/edge/testing';
import { WebSocket } from 'ws';
import { allToken, dataOf, type Received, startBayeux } from './testing.ts';

/** Bayeux on a WebSocket by hand. */
class Wire {
  readonly socket: WebSocket;
  readonly received: Received[] = [];
  frames = 0;
  /** Connects again after each answer, as clients do. */
  connects = false;
  closed: number | undefined;
  clientId = '';
  #id = 0;

  constructor(
    scope: Scope,
    url: string,
    options: { headers?: Record<string, string>; protocols?: string[] } = {},
  ) {
    const { headers = { authorization: `Bearer ${allToken()}` }, protocols = [] } = options;
    this.socket = new WebSocket(url.replace('http', 'ws'), protocols, { headers });
    this.socket.on('message', (data) => {
      this.frames++;
      const messages = JSON.parse(data.toString()) as Received[];
      this.received.push(...messages);
      if (this.connects && messages.some(({ channel }) => channel === '/meta/connect')) this.connect();
    });
    this.socket.on('error', () => {});
    this.socket.on('close', (code) => {
      this.closed = code;
    });
    scope.after(async () => this.socket.terminate());
  }

  async open(): Promise<this> {
    await until(() => this.socket.readyState === WebSocket.OPEN, 'the WebSocket opens');
    return this;
  }

  send(message: object): string {
    const id = String(++this.#id);
    this.socket.send(JSON.stringify([{ clientId: this.clientId, id, ...message }]));
    return id;
  }

  async ask(message: object): Promise<Received> {
    const id = this.send(message);
    const mine = (one: Received) => one.id === id && one.successful !== undefined;
    await until(() => this.received.some(mine), `an answer to ${id}`);
    return this.received.find(mine) as Received;
  }

  async begin(...channels: string[]): Promise<this> {
    await this.open();
    const types = { version: '1.0', supportedConnectionTypes: ['websocket'] };
    const answer = await this.ask({ channel: '/meta/handshake', ...types });
    this.clientId = answer.clientId ?? '';
    for (const subscription of channels) {
      assert.equal((await this.ask({ channel: '/meta/subscribe', subscription })).successful, true);
    }
    return this;
  }

  connect(fields: object = {}): string {
    return this.send({ channel: '/meta/connect', connectionType: 'websocket', ...fields });
  }

  async ends(): Promise<number | undefined> {
    await until(() => this.closed !== undefined, 'the WebSocket closes');
    return this.closed;
  }
}

describe('a WebSocket without a session', () => {
  const handshake = {
    ...{ channel: '/meta/handshake', version: '1.0', supportedConnectionTypes: ['websocket'] },
    ext: { pushfleet: { token: allToken() } },
  };
  const nobody = { headers: {} };
  const begin = { PUSHFLEET_EDGE_LONGPOLL_BAYEUX_BEGIN_SECONDS: '1' };

  test('is cut after a while, whatever it says; one with a session is not', async (t) => {
    const { url } = await startBayeux(t, { env: begin });
    const [known, guest] = [await new Wire(t, url, nobody).open(), await new Wire(t, url).open()];
    assert.equal((await known.ask(handshake)).successful, true);
    const stranger = await new Wire(t, url, nobody).open();
    const saying = setInterval(() => {
      for (const { socket } of [known, guest, stranger]) if (socket.readyState === 1) socket.send('[]');
    }, 100);
    t.after(() => clearInterval(saying));
    assert.deepEqual([await guest.ends(), await stranger.ends()], [1006, 1006]);
    assert.equal((await known.ask(handshake)).successful, true);
  });

  test('may do nothing more once the token of its request was revoked', async (t) => {
    const { url, registry } = await startBayeux(t);
    const wire = await new Wire(t, url).open();
    const published = () => wire.ask({ channel: '/demo', data: 1, clientId: undefined });
    assert.equal((await published()).successful, true);
    registry.revoke('ann');
    const shaken = { ...handshake, ext: undefined };
    for (const answer of [await published(), await wire.ask(shaken)]) {
      assert.equal(answer.successful, false);
      assert.match(String(answer.error), /revoked/);
    }
  });

  test('is one again when its session has ended, or its client is elsewhere', async (t) => {
    const { url } = await startBayeux(t, { env: begin });
    const left = await new Wire(t, url).begin();
    assert.equal((await left.ask({ channel: '/meta/disconnect' })).successful, true);
    const former = await new Wire(t, url).begin();
    former.connect();
    const next = await new Wire(t, url).open();
    next.clientId = former.clientId;
    next.connect({ advice: { timeout: 0 } });
    await until(() => next.received.length > 0, 'it is connected');
    former.socket.send('[]');
    assert.deepEqual([await left.ends(), await former.ends()], [1006, 1006]);
    assert.equal((await next.ask({ channel: '/n', data: 1 })).successful, true);
  });

  test('finds room up to the limit, and others do beyond it', async (t) => {
    const env = { PUSHFLEET_EDGE_LONGPOLL_BAYEUX_STRANGERS: '2' };
    const { url } = await startBayeux(t, { env });
    const [first] = [await new Wire(t, url, nobody).open(), await new Wire(t, url, nobody).open()];
    const refused = new Wire(t, url, nobody);
    assert.equal(await refused.ends(), 1006);
    await new Wire(t, url).begin();
    assert.equal((await first.ask(handshake)).successful, true);
    const next = await new Wire(t, url, nobody).open();
    next.socket.terminate();
    const again = async (): Promise<boolean> => {
      const wire = new Wire(t, url, nobody);
      await until(() => wire.closed !== undefined || wire.socket.readyState === 1, 'an answer');
      return wire.socket.readyState === 1;
    };
    while (!(await again())) assert.ok(!t.signal.aborted);
  });
});

describe('Bayeux on a WebSocket', () => {
  test('gives events at once, without the answer to a connect', async (t) => {
    const { url, publish } = await startBayeux(t);
    const wire = await new Wire(t, url).begin('/n');
    wire.connect();
    for (let n = 0; n < 50; n++) await publish('n', String(n));
    await until(() => dataOf(wire.received).length === 50, 'all arrive');
    assert.ok(!wire.received.some(({ channel }) => channel === '/meta/connect'));
  });

  test('answers a connect when much is not proven, and stops when no connect comes', async (t) => {
    const env = { PUSHFLEET_EDGE_LONGPOLL_BATCH_COUNT: '10' };
    const { url, publish } = await startBayeux(t, { env });
    const wire = await new Wire(t, url).begin('/n');
    wire.connect();
    const other = await new Wire(t, url).begin('/n');
    other.connects = true;
    other.connect();
    const connected = (): number =>
      wire.received.filter(({ channel, successful }) => channel === '/meta/connect' && successful).length;
    for (let n = 0; n < 100; n++) await publish('n', String(n));
    await until(() => connected() === 1, 'the connect is answered');
    await until(() => dataOf(other.received).length === 100, 'all arrive at another');
    await wire.ask({ channel: '/service/none' });
    assert.equal(dataOf(wire.received).length, 10);
    for (let n = 1; dataOf(wire.received).length < 100; n++) {
      const before = dataOf(wire.received).length;
      wire.connect();
      await until(
        () => connected() > n || dataOf(wire.received).length === 100,
        `more than ${before} arrive`,
      );
    }
    assert.deepEqual(
      dataOf(wire.received),
      Array.from({ length: 100 }, (_, n) => String(n)),
    );
  });

  test('gives again on the next WebSocket what was not proven', async (t) => {
    const { url, publish } = await startBayeux(t);
    const wire = await new Wire(t, url).begin('/n');
    wire.connect();
    await publish('n', '1');
    await until(() => dataOf(wire.received).length === 1, 'it arrives');
    wire.socket.terminate();
    await wire.ends();
    await publish('n', '2');
    const next = await new Wire(t, url).open();
    next.clientId = wire.clientId;
    next.connect({ id: 'again' });
    await until(() => dataOf(next.received).length === 2, 'both arrive');
    assert.deepEqual(dataOf(next.received), ['1', '2']);
  });

  test('gets on with what it asked of the past although each WebSocket is at another instance', async (t) => {
    const env = { PUSHFLEET_EDGE_LONGPOLL_BATCH_COUNT: '10' };
    const first = await startBayeux(t, { env });
    const second = await startBayeux(t, { env, beside: first });
    const { cursor: after } = await first.publish('other', '');
    const expected = Array.from({ length: 60 }, (_, n) => String(n));
    for (const id of expected) await first.publish('n', id);
    const seen: unknown[] = [];
    const { clientId } = await new Wire(t, first.url).begin();
    for (let turn = 0; new Set(seen).size < expected.length; turn++) {
      assert.ok(turn < 12, `it does not get on: ${seen.join()}`);
      const wire = await new Wire(t, (turn % 2 === 0 ? first : second).url).open();
      wire.clientId = clientId;
      const asking = { channel: '/meta/subscribe', subscription: '/n', ext: { pushfleet: { after } } };
      if (turn === 0) assert.equal((await wire.ask(asking)).successful, true);
      wire.connects = true;
      wire.connect({ id: `turn ${turn}` });
      const got = () => new Set([...seen, ...dataOf(wire.received)]).size;
      const before = got();
      await until(() => got() > before + 10 || got() === expected.length, 'more arrives');
      wire.socket.terminate();
      await wire.ends();
      seen.push(...dataOf(wire.received));
    }
    assert.deepEqual([...new Set(seen)], expected);
  });

  test('goes on by long-polling', async (t) => {
    const { url, publish } = await startBayeux(t);
    const wire = await new Wire(t, url).begin('/n');
    wire.connect();
    await publish('n', '1');
    await until(() => dataOf(wire.received).length === 1, 'it arrives');
    wire.socket.terminate();
    await wire.ends();
    const connect = { channel: '/meta/connect', connectionType: 'long-polling', clientId: wire.clientId };
    const answer = await fetch(url, {
      method: 'POST',
      body: JSON.stringify([{ ...connect, id: 'x' }]),
      headers: { 'content-type': 'application/json' },
    });
    assert.deepEqual(dataOf((await answer.json()) as Received[]), ['1']);
  });

  test('answers an empty array by one, and what cannot be read by an error', async (t) => {
    const { url } = await startBayeux(t);
    const wire = await new Wire(t, url).open();
    wire.socket.send('[]');
    await until(() => wire.frames === 1, 'an answer');
    assert.equal(wire.received.length, 0);
    wire.socket.send('{');
    await until(() => wire.received.length === 1, 'an error');
    assert.match(wire.received[0]?.error ?? '', /^400:/);
    await wire.begin('/a');
  });

  test('closes with the codes of RFC 6455', async (t) => {
    const { url } = await startBayeux(t, { env: { PUSHFLEET_EDGE_LONGPOLL_BODY_BYTES: '1024' } });
    const [binary, long, exact] = await Promise.all([1, 2, 3].map(() => new Wire(t, url).open()));
    binary?.socket.send(Buffer.from('[]'));
    assert.equal(await binary?.ends(), 1003);
    long?.socket.send(' '.repeat(1_025));
    assert.equal(await long?.ends(), 1009);
    exact?.socket.send(`[]${' '.repeat(1_022)}`);
    await until(() => exact?.frames === 1, 'an answer');
  });

  test('is served one frame after the other, however many come', async (t) => {
    const { url } = await startBayeux(t);
    const wire = await new Wire(t, url).begin('/n');
    wire.connects = true;
    wire.connect();
    for (let n = 0; n < 500; n++) wire.send({ channel: '/n', data: n });
    await until(() => dataOf(wire.received).length === 500, 'all arrive');
    assert.deepEqual(
      dataOf(wire.received),
      Array.from({ length: 500 }, (_, n) => n),
    );
  });

  test('ends when the instance drains, and when the token is revoked', async (t) => {
    const first = await startBayeux(t);
    const wire = await new Wire(t, first.url).begin('/n');
    wire.connect();
    const idle = await new Wire(t, first.url).open();
    assert.match((await wire.ask({ channel: '/service/x', data: 1 })).error ?? '', /^404/);
    await first.edge.drain(AbortSignal.timeout(5_000));
    assert.deepEqual([await wire.ends(), await idle.ends()], [1012, 1012]);
    assert.equal(wire.received.at(-1)?.advice?.reconnect, 'retry');
    const refused = new Wire(t, first.url);
    await refused.ends();
    const second = await startBayeux(t);
    const other = await new Wire(t, second.url).begin('/n');
    other.connect();
    await other.ask({ channel: '/service/x', data: 1 });
    second.registry.revoke('ann');
    await other.ends();
    assert.equal(other.received.at(-1)?.advice?.reconnect, 'none');
  });

  test('may bring its token in the handshake, and speak of a subprotocol', async (t) => {
    const { url } = await startBayeux(t);
    const wire = await new Wire(t, url, { headers: {}, protocols: ['x', 'bayeux'] }).open();
    assert.equal(wire.socket.protocol, 'bayeux');
    const types = { version: '1.0', supportedConnectionTypes: ['websocket'] };
    const refused = await wire.ask({ channel: '/meta/handshake', ...types });
    assert.match(refused.error ?? '', /^401:/);
    const ext = { pushfleet: { token: allToken() } };
    assert.equal((await wire.ask({ channel: '/meta/handshake', ...types, ext })).successful, true);
  });

  test('stops at the expiry of its token, and goes on with the next', async (t) => {
    const { url, publish } = await startBayeux(t);
    const exp = Math.floor(Date.now() / 1_000) + 2;
    const headers = { authorization: `Bearer ${allToken({ exp })}` };
    const wire = await new Wire(t, url, { headers }).begin('/n');
    wire.connect();
    const refused = () => wire.received.find(({ error }) => error?.startsWith('401'));
    await until(() => refused() !== undefined, 'the connect is refused');
    assert.equal(refused()?.advice?.reconnect, 'handshake');
    await publish('n', '1');
    assert.equal(
      (await wire.ask({ channel: '/service/token', data: { token: allToken() } })).successful,
      true,
    );
    wire.connect();
    await until(() => dataOf(wire.received).includes('1'), 'it arrives');
  });
});
