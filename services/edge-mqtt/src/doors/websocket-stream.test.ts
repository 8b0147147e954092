import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import type { Socket } from 'node:net';
import { test } from 'node:test';
import { frame, opcodes } from '@pushfleet/edge/websocket';
import { WebSocketStream } from './websocket-stream.ts';

class FakeSocket extends EventEmitter {
  paused = true;
  room = true;
  readonly written: Buffer[] = [];
  ended = false;
  destroyed = false;
  corked = 0;

  write(bytes: Buffer): boolean {
    this.written.push(bytes);
    return this.room;
  }
  end(bytes: Buffer): void {
    this.written.push(bytes);
    this.ended = true;
  }
  destroy(): void {
    this.destroyed = true;
    this.emit('close');
  }
  pause(): void {
    this.paused = true;
  }
  resume(): void {
    this.paused = false;
  }
  cork(): void {
    this.corked++;
  }
  uncork(): void {
    this.corked--;
  }
}

/** As a client sends it, with a mask of zeros. */
function masked(opcode: number, payload: Buffer = Buffer.alloc(0)): Buffer {
  assert.ok(payload.length < 126);
  return Buffer.concat([Buffer.of(0x80 | opcode, 0x80 | payload.length, 0, 0, 0, 0), payload]);
}

function begun() {
  const socket = new FakeSocket();
  const timers: { ms: number; fire: () => void }[] = [];
  let now = 10_250;
  const stream = new WebSocketStream(socket as unknown as Socket, {
    ...{ messageBytes: 1_000, frameRate: 5, now: () => now },
    wheel: {
      after: (ms, fire) => {
        timers.push({ ms, fire });
        return () => {};
      },
    },
  });
  const came: string[] = [];
  stream.on('data', (bytes: Buffer) => came.push(bytes.toString('hex')));
  stream.on('close', () => came.push('close'));
  const read = (...frames: Buffer[]) => socket.emit('data', Buffer.concat(frames));
  const at = (ms: number): void => {
    now = ms;
  };
  stream.begin(Buffer.alloc(0));
  return { socket, stream, timers, came, read, at };
}

test('what came with the handshake is read first', () => {
  const { socket, stream } = begun();
  const came: number[] = [];
  stream.on('data', (bytes: Buffer) => came.push(...bytes));
  stream.begin(masked(opcodes.binary, Buffer.of(1)));
  socket.emit('data', masked(opcodes.binary, Buffer.of(2)));
  assert.ok(came.includes(1));
});

test('at the rate nothing more is read until the next second, be it packets, pings or nothing', () => {
  for (const opcode of [opcodes.binary, opcodes.ping, opcodes.pong]) {
    const { socket, timers, read, at } = begun();
    for (let i = 0; i < 4; i++) read(masked(opcode));
    assert.equal(socket.paused, false);
    read(masked(opcode));
    assert.equal(socket.paused, true);
    assert.deepEqual(
      timers.map(({ ms }) => ms),
      [750],
    );
    at(11_000);
    timers[0]?.fire();
    assert.equal(socket.paused, false);
  }
});

test('below the rate, second after second', () => {
  const { socket, read, at, timers } = begun();
  for (let second = 0; second < 10; second++) {
    at(20_000 + second * 1_000);
    for (let i = 0; i < 4; i++) read(masked(opcodes.binary));
  }
  assert.deepEqual([socket.paused, timers.length], [false, 0]);
});

test('pings are answered, and who does not read the answers is not read', () => {
  const { socket, read } = begun();
  socket.room = false;
  read(masked(opcodes.ping, Buffer.from('x')));
  assert.deepEqual(socket.written, [frame(opcodes.pong, [Buffer.from('x')])]);
  assert.equal(socket.paused, true);
  socket.room = true;
  socket.emit('drain');
  assert.equal(socket.paused, false);
});

test('who is held back by two is read when both let go', () => {
  const { socket, stream, read } = begun();
  socket.room = false;
  read(masked(opcodes.ping));
  stream.pause();
  socket.emit('drain');
  assert.equal(socket.paused, true);
  stream.resume();
  assert.equal(socket.paused, false);
});

test('what is written is frames; what is long is not copied, and says whether there is room', () => {
  const { socket, stream } = begun();
  assert.equal(stream.write(Buffer.from('ab')), true);
  socket.room = false;
  const long = Buffer.alloc(70_000, 'x');
  assert.equal(stream.write(long), false);
  assert.equal(socket.written.at(-1), long);
  assert.equal(socket.corked, 0);
  const frames = [Buffer.from('ab'), long].map((bytes) => frame(opcodes.binary, [bytes]));
  assert.deepEqual(Buffer.concat(socket.written), Buffer.concat(frames));
});

test('the end is said once, nothing is said behind it, and a client that stays is cut', () => {
  const { socket, stream, came, read, timers } = begun();
  stream.end(Buffer.from('z'));
  stream.end(Buffer.from('again'));
  assert.equal(stream.write(Buffer.from('late')), true);
  read(masked(opcodes.binary, Buffer.of(1)), masked(opcodes.ping));
  assert.equal(Buffer.concat(socket.written).toString('hex'), '82017a880203e8');
  assert.deepEqual([socket.paused, came], [false, []]);
  timers[0]?.fire();
  assert.deepEqual([socket.destroyed, came], [true, ['close']]);
});

test("a client's close is answered with its code, or with none", () => {
  for (const [payload, answer] of [
    [Buffer.from('03e9', 'hex'), '880203e9'],
    [Buffer.alloc(0), '8800'],
  ] as const) {
    const { socket, came, read } = begun();
    read(masked(opcodes.close, payload));
    assert.equal(socket.written.at(-1)?.toString('hex'), answer);
    socket.destroy();
    assert.deepEqual(came, ['close']);
  }
});

test('a client that ends without a close frame has left', () => {
  const { socket, came } = begun();
  socket.emit('end');
  assert.deepEqual(came, ['close']);
});
