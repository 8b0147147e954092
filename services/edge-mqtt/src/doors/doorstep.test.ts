import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import type { Socket } from 'node:net';
import { test } from 'node:test';
import { Doorstep } from './doorstep.ts';

class FakeSocket extends EventEmitter {
  destroyed = false;
  remoteAddress: string | undefined;

  constructor(remoteAddress?: string) {
    super();
    this.remoteAddress = remoteAddress;
  }

  destroy(): void {
    if (this.destroyed) return;
    this.destroyed = true;
    this.emit('close');
  }
}

function doorstep(over: object = {}) {
  const timers = new Set<() => void>();
  const door = new Doorstep({
    ...{ guests: 3, perAddress: 2, ms: 10_000, ...over },
    wheel: {
      after: (_ms, fire) => {
        timers.add(fire);
        return () => timers.delete(fire);
      },
    },
  });
  const enter = (address?: string) => {
    const socket = new FakeSocket(address);
    return { socket, guest: door.enter(socket as unknown as Socket) };
  };
  return { door, enter, timers };
}

test('below, at and above the most guests', () => {
  const { door, enter } = doorstep({ perAddress: 10 });
  const all = [1, 2, 3].map(() => enter('192.0.2.1'));
  assert.equal(door.size, 3);
  const refused = enter('192.0.2.1');
  assert.equal(refused.guest, undefined);
  assert.ok(refused.socket.destroyed);
  all[0]?.guest?.settle();
  assert.ok(enter('192.0.2.1').guest);
  all[1]?.socket.destroy();
  assert.equal(door.size, 2);
});

test('below, at and above the most of one address, for as long as its sockets live', () => {
  const { enter } = doorstep();
  const [one] = [enter('192.0.2.1'), enter('192.0.2.1')];
  // Whoever came in is still there.
  one.guest?.settle();
  assert.equal(enter('::ffff:192.0.2.1').guest, undefined);
  assert.ok(enter('192.0.2.2').guest);
  one.socket.destroy();
  assert.ok(enter('192.0.2.1').guest);
});

test('a proxy names the address that counts, or none', () => {
  const { enter, door } = doorstep({ guests: 100 });
  const proxied = (address?: string) => {
    const one = enter('10.0.0.1');
    const told = one.guest?.move(undefined) && one.guest.move(address);
    return { ...one, told };
  };
  for (let i = 0; i < 5; i++) assert.ok(proxied().told, 'nobody is counted');
  assert.ok(proxied('192.0.2.1').told);
  const second = proxied('192.0.2.1');
  assert.equal(second.guest?.address, '192.0.2.1');
  const third = proxied('192.0.2.1');
  assert.equal(third.told, false);
  assert.ok(third.socket.destroyed);
  second.socket.destroy();
  assert.ok(proxied('192.0.2.1').told);
  assert.equal(door.size, 7);
});

test('who stays too long is cut, who came in is not', () => {
  const { door, enter, timers } = doorstep();
  const [idle, known] = [enter('192.0.2.1'), enter('192.0.2.1')];
  known.guest?.settle();
  for (const fire of timers) fire();
  assert.deepEqual([idle.socket.destroyed, known.socket.destroyed], [true, false]);
  assert.equal(door.size, 0);
});

test('one that is gone already is nobody', () => {
  const { door, enter } = doorstep();
  const { guest, socket } = enter();
  assert.equal(guest, undefined);
  socket.destroy();
  assert.equal(door.size, 0);
});

test('closing sends everybody away', () => {
  const { door, enter, timers } = doorstep();
  const all = [enter('192.0.2.1'), enter('192.0.2.1')];
  door.close();
  assert.ok(all.every(({ socket }) => socket.destroyed));
  assert.deepEqual([door.size, timers.size], [0, 0]);
});
