import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Gate, type Terms } from './gate.ts';

const limits = { breakerFailures: 3, breakerMs: 1_000 };
const terms: Terms = { ordered: false, concurrency: 8, rate: 10 };
const generous: Terms = { ...terms, rate: 1_000_000 };
const middle = (): number => 0.5;

describe('a gate', () => {
  it('lets a receiver that nobody knows have two at once, and more as it answers, up to its terms', () => {
    const gate = new Gate(limits, middle);
    assert.equal(gate.wait(0, 1, generous), 0);
    assert.equal(gate.wait(0, 2, generous), Number.POSITIVE_INFINITY);
    for (let i = 0; i < 5; i++) gate.succeeded();
    assert.equal(gate.wait(0, 7, generous), 0);
    assert.equal(gate.wait(0, 8, generous), Number.POSITIVE_INFINITY);
  });

  it('gives an ordered lane one at a time', () => {
    const gate = new Gate(limits, middle);
    assert.equal(gate.wait(0, 0, { ...generous, ordered: true }), 0);
    assert.equal(gate.wait(0, 1, { ...generous, ordered: true }), Number.POSITIVE_INFINITY);
  });

  it("lets a second's worth come at once, and spreads what follows", () => {
    const gate = new Gate(limits, middle);
    for (let i = 0; i < 10; i++) {
      assert.equal(gate.wait(5_000, 0, terms), 0, `number ${i}`);
      gate.pass(5_000, terms);
    }
    assert.equal(gate.wait(5_000, 0, terms), 100);
    assert.equal(gate.wait(5_100, 0, terms), 0);
  });

  it('leaves a receiver alone that goes on failing, longer each time, and then tries one', () => {
    const gate = new Gate(limits, middle);
    for (let i = 0; i < 2; i++) gate.failed(0, 0);
    assert.equal(gate.wait(0, 0, generous), 0);
    gate.failed(0, 0);
    assert.equal(gate.wait(0, 0, generous), 1_000);
    assert.equal(gate.wait(1_000, 0, generous), 0);
    assert.equal(gate.wait(1_000, 1, generous), Number.POSITIVE_INFINITY);
    gate.failed(1_000, 0);
    assert.equal(gate.wait(1_000, 0, generous), 2_000);
    gate.succeeded();
    assert.equal(gate.wait(1_000, 1, generous), 0);
    for (let i = 0; i < 40; i++) gate.failed(10_000, 0);
    assert.ok(gate.wait(10_000, 0, generous) <= 16_000);
  });

  it('waits as long as the receiver asks', () => {
    const gate = new Gate(limits, middle);
    gate.failed(0, 7_000);
    assert.equal(gate.wait(0, 0, generous), 7_000);
    gate.failed(1_000, 1_000);
    assert.equal(gate.wait(1_000, 0, generous), 6_000);
  });
});
