import assert from 'node:assert/strict';
import { describe, it, mock } from 'node:test';
import { TimerWheel } from './wheel.ts';

/** A wheel on a clock that the mocked interval and `now` share. */
function wheelOn(t: { after(fn: () => void): void }, options: { tickMs?: number; slots?: number } = {}) {
  mock.timers.enable({ apis: ['setInterval', 'Date'] });
  t.after(() => mock.timers.reset());
  return new TimerWheel({ ...options, now: Date.now });
}

describe('TimerWheel', () => {
  it('fires at its time or up to a tick late, never early', (t) => {
    const wheel = wheelOn(t, { tickMs: 100, slots: 8 });
    const lateness: number[] = [];
    for (let ms = 0; ms <= 2_500; ms += 37) {
      wheel.after(ms, () => lateness.push(Date.now() - ms));
    }
    for (let i = 0; i < 300; i++) mock.timers.tick(10);
    assert.equal(lateness.length, 68);
    assert.ok(
      lateness.every((late) => late >= 0 && late <= 100),
      String(lateness),
    );
    assert.equal(wheel.size, 0);
  });

  it('keeps a timer of many turns', (t) => {
    const wheel = wheelOn(t, { tickMs: 10, slots: 4 });
    let fired = 0;
    wheel.after(1_000, () => fired++);
    mock.timers.tick(990);
    assert.equal(fired, 0);
    mock.timers.tick(20);
    assert.equal(fired, 1);
  });

  it('cancels, and a second cancel does nothing', (t) => {
    const wheel = wheelOn(t);
    let fired = 0;
    const cancel = wheel.after(200, () => fired++);
    wheel.after(200, () => fired++);
    cancel();
    cancel();
    assert.equal(wheel.size, 1);
    mock.timers.tick(300);
    assert.equal(fired, 1);
    cancel();
    assert.equal(wheel.size, 0);
  });

  it('arms and cancels from inside a timer', (t) => {
    const wheel = wheelOn(t);
    const seen: number[] = [];
    const beat = (): void => {
      seen.push(Date.now());
      if (seen.length < 4) wheel.after(300, beat);
    };
    wheel.after(300, beat);
    let other = 0;
    const cancel = wheel.after(350, () => other++);
    wheel.after(300, cancel);
    for (let i = 0; i < 30; i++) mock.timers.tick(100);
    assert.deepEqual(seen, [300, 600, 900, 1_200]);
    assert.equal(other, 0);
  });

  it('runs no interval while it is empty, and starts again', (t) => {
    const wheel = wheelOn(t);
    const started = mock.method(globalThis, 'setInterval');
    const stopped = mock.method(globalThis, 'clearInterval');
    t.after(() => mock.restoreAll());
    wheel.after(100, () => undefined);
    wheel.after(100, () => undefined)();
    mock.timers.tick(200);
    assert.deepEqual([started.mock.callCount(), stopped.mock.callCount()], [1, 1]);
    let fired = 0;
    wheel.after(100, () => fired++);
    mock.timers.tick(200);
    assert.equal(fired, 1);
    assert.deepEqual([started.mock.callCount(), stopped.mock.callCount()], [2, 2]);
  });

  it('catches up after a stall longer than a turn', () => {
    let now = 0;
    const turns: (() => void)[] = [];
    const real = globalThis.setInterval;
    const stub = mock.method(globalThis, 'setInterval', (turn: () => void) => {
      turns.push(turn);
      const timer = real(() => undefined, 1e6);
      return timer;
    });
    const wheel = new TimerWheel({ tickMs: 100, slots: 4, now: () => now });
    const fired: number[] = [];
    for (const ms of [50, 150, 350, 900, 5_000]) wheel.after(ms, () => fired.push(ms));
    now = 1_000;
    turns[0]?.();
    assert.deepEqual(
      fired.toSorted((a, b) => a - b),
      [50, 150, 350, 900],
    );
    assert.equal(wheel.size, 1);
    wheel.close();
    stub.mock.restore();
  });

  it('runs the others of a tick after one that throws', (t) => {
    const wheel = wheelOn(t);
    let fired = 0;
    wheel.after(100, () => {
      throw new Error('mine');
    });
    wheel.after(100, () => fired++);
    assert.throws(() => mock.timers.tick(100), /mine/);
    for (let i = 0; i < 3; i++) mock.timers.tick(100);
    assert.equal(fired, 1);
  });

  it('takes ten thousand timers', (t) => {
    const wheel = wheelOn(t);
    let fired = 0;
    const cancels = Array.from({ length: 10_000 }, (_, i) => wheel.after(i % 3_000, () => fired++));
    for (const cancel of cancels.filter((_, i) => i % 2 === 0)) cancel();
    for (let i = 0; i < 40; i++) mock.timers.tick(100);
    assert.equal(fired, 5_000);
  });
});
