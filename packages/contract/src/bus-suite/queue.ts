import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Queue, type QueueEntry, queueLimits, queueSlots, type Taken } from '@pushfleet/bus';
import { until } from '../until.ts';
import { utf8 } from './tools.ts';
import type { BusUnderTest } from './under-test.ts';

/** A term and a silence that a test can wait for. */
export const suiteQueueTerms = { termMs: 1_500, silenceMs: 1_500 };

let entries = 0;

/** An entry with an id of its own. */
const entry = (slot: number, text: string): QueueEntry => ({
  slot,
  id: `queue-${++entries}`,
  body: utf8.encode(text),
});
const textOf = ({ body }: Taken): string => new TextDecoder().decode(body);

/** What an owner was handed, and what it does with it. */
class Hands {
  readonly taken: Taken[] = [];
  readonly #act: (taken: Taken) => void;

  constructor(act: (taken: Taken) => void = (taken) => taken.done()) {
    this.#act = act;
  }

  readonly on = (taken: Taken): void => {
    this.taken.push(taken);
    this.#act(taken);
  };

  get texts(): string[] {
    return this.taken.map(textOf);
  }
}

const keep = (): void => {};

export function queueing(under: () => BusUnderTest): void {
  describe('queue', () => {
    const queueOf = (): Queue => under().backbone.queue('webhook');
    let slots = 0;
    /** A slot of its own for each test. */
    const freshSlot = (): number => slots++;

    it('hands out the entries of a slot in the order in which they were put, and of no other', async () => {
      const [queue, slot, other] = [queueOf(), freshSlot(), freshSlot()];
      await queue.put([]);
      const before = Date.now();
      const wanted = Array.from({ length: 500 }, (_, i) => `${i}`);
      const parts = [wanted.slice(0, 3), wanted.slice(3, 10), wanted.slice(10, 300), wanted.slice(300)];
      for (const part of parts) {
        await queue.put(part.flatMap((text) => [entry(slot, text), entry(other, 'elsewhere')]));
      }
      const hands = new Hands();
      const { stop } = await queue.own(slot, 7, hands.on);
      await until(() => hands.taken.length >= 500, 'all of the slot');
      assert.deepEqual(hands.texts, wanted);
      const [first] = hands.taken;
      assert.ok((first?.time ?? 0) > before - 60_000 && (first?.time ?? 0) < Date.now() + 60_000);
      assert.ok(hands.taken.every(({ again }) => !again));
      await stop();
    });

    it('keeps the order among many that put at once', async () => {
      const [queue, slot] = [queueOf(), freshSlot()];
      const hands = new Hands();
      const { stop } = await queue.own(slot, 100, hands.on);
      const calls = Array.from({ length: 40 }, (_, call) =>
        queue.put(Array.from({ length: 1 + (call % 5) * 20 }, (_, i) => entry(slot, `${call}/${i}`))),
      );
      await Promise.all(calls);
      const wanted = calls.flatMap((_, call) =>
        Array.from({ length: 1 + (call % 5) * 20 }, (_, i) => `${call}/${i}`),
      );
      await until(() => hands.taken.length >= wanted.length, 'all that was put');
      assert.deepEqual(hands.texts, wanted);
      await stop();
    });

    it('has no more in hand than asked for', async () => {
      const [queue, slot] = [queueOf(), freshSlot()];
      await queue.put(Array.from({ length: 10 }, (_, i) => entry(slot, `${i}`)));
      const hands = new Hands(keep);
      const { stop } = await queue.own(slot, 3, hands.on);
      await until(() => hands.taken.length === 3, 'three');
      await sleep(50);
      assert.deepEqual(hands.texts, ['0', '1', '2']);
      hands.taken[1]?.done();
      hands.taken[1]?.done();
      await until(() => hands.taken.length === 4, 'one for the one that is done');
      await sleep(50);
      assert.deepEqual(hands.texts, ['0', '1', '2', '3']);
      await stop();
      for (const taken of hands.taken) taken.done();
    });

    it('hands out at once what is given back, and after its term what is not answered', async () => {
      const [queue, slot] = [queueOf(), freshSlot()];
      const hands = new Hands((taken) => {
        if (!taken.again && textOf(taken) === 'back') taken.back();
        else if (taken.again || textOf(taken) === 'done') taken.done();
      });
      const { stop } = await queue.own(slot, 2, hands.on);
      await queue.put([entry(slot, 'silent'), entry(slot, 'back'), entry(slot, 'done')]);
      const all = ['back', 'back', 'done', 'silent', 'silent'];
      await until(() => hands.taken.length === all.length, 'what comes again');
      assert.deepEqual(hands.texts.toSorted(), all);
      assert.deepEqual(hands.taken.filter(({ again }) => again).map(textOf), ['back', 'silent']);
      await sleep(suiteQueueTerms.termMs + 500);
      assert.equal(hands.taken.length, all.length);
      await stop();
    });

    it('lets what is extended stay in hand, and the slot with its owner', async () => {
      const [queue, slot] = [queueOf(), freshSlot()];
      const [owner, other] = [new Hands(keep), new Hands(keep)];
      await queue.put([entry(slot, 'long'), entry(slot, 'next')]);
      const owning = await queue.own(slot, 1, owner.on);
      await until(() => owner.taken.length === 1, 'the entry');
      const waiting = await queue.own(slot, 1, other.on);
      const end = Date.now() + 2.5 * Math.max(suiteQueueTerms.termMs, suiteQueueTerms.silenceMs);
      while (Date.now() < end) {
        owner.taken[0]?.extend();
        await sleep(100);
      }
      assert.deepEqual([owner.texts, other.texts], [['long'], []]);
      owner.taken[0]?.done();
      await until(() => owner.taken.length === 2, 'the next');
      owner.taken[1]?.done();
      await owning.stop();
      await waiting.stop();
    });

    it('has one owner of a slot, and passes it on when that one stops', async () => {
      const [queue, slot] = [queueOf(), freshSlot()];
      const [first, second] = [new Hands(), new Hands()];
      const owning = [await queue.own(slot, 5, first.on), await queue.own(slot, 5, second.on)];
      for (let i = 0; i < 50; i++) await queue.put([entry(slot, `${i}`)]);
      await until(() => first.taken.length + second.taken.length >= 50, 'all');
      const [owner, other] = first.taken.length > 0 ? [first, second] : [second, first];
      assert.deepEqual([owner.taken.length, other.taken.length], [50, 0]);
      await owning[owner === first ? 0 : 1]?.stop();
      await queue.put([entry(slot, 'after')]);
      await until(() => other.taken.length === 1, 'the entry at the other');
      assert.equal(owner.taken.length, 50);
      await owning[owner === first ? 1 : 0]?.stop();
      await queue.put([entry(slot, 'nobody')]);
      await sleep(50);
      assert.equal(first.taken.length + second.taken.length, 51);
    });

    it('still takes answers of an owner that has stopped', async () => {
      const [queue, slot] = [queueOf(), freshSlot()];
      const [first, second] = [new Hands(keep), new Hands()];
      await queue.put([entry(slot, 'done'), entry(slot, 'back')]);
      const owning = await queue.own(slot, 2, first.on);
      await until(() => first.taken.length === 2, 'both');
      await owning.stop();
      first.taken[0]?.done();
      first.taken[1]?.back();
      const next = await queue.own(slot, 2, second.on);
      await until(() => second.taken.length > 0, 'what was given back');
      await sleep(suiteQueueTerms.termMs + 500);
      assert.deepEqual(second.texts, ['back']);
      await next.stop();
    });

    it('passes on the slot of an owner that died, with what it had in hand', async () => {
      const [queue, slot] = [queueOf(), freshSlot()];
      const other = await under().another();
      const [dying, heir] = [new Hands(keep), new Hands()];
      await queue.put([entry(slot, '1'), entry(slot, '2')]);
      await other.queue('webhook').own(slot, 5, dying.on);
      await until(() => dying.taken.length === 2, 'what it dies with');
      const { stop } = await queue.own(slot, 5, heir.on);
      await other.close();
      dying.taken[0]?.done(); // nobody hears it
      await queue.put([entry(slot, '3')]);
      await until(() => heir.taken.length === 3, 'all three');
      assert.deepEqual(heir.texts.toSorted(), ['1', '2', '3']);
      const again = heir.taken.filter((taken) => taken.again).map(textOf);
      // Also the third was in its hands, where the broker had sent it before it knew that nobody is there.
      assert.deepEqual(again.filter((text) => text !== '3').toSorted(), ['1', '2']);
      await stop();
    });

    it('stores an id once', async () => {
      const [queue, slot] = [queueOf(), freshSlot()];
      const many = Array.from({ length: 100 }, (_, i) => entry(slot, `${i}`));
      await queue.put(many.slice(0, 30));
      await queue.put(many.slice(20, 90));
      await queue.put(many);
      const hands = new Hands();
      const { stop } = await queue.own(slot, 10, hands.on);
      await until(() => hands.taken.length >= 100, 'all');
      await queue.put(many);
      await queue.put([entry(slot, 'last')]);
      await until(() => hands.texts.includes('last'), 'the last');
      assert.deepEqual(hands.texts, [...many.map((_, i) => `${i}`), 'last']);
      await stop();
    });

    it('turns an appointment into an entry at its time, never before', async () => {
      const [queue, slot] = [queueOf(), freshSlot()];
      const hands = new Hands();
      const { stop } = await queue.own(slot, 10, hands.on);
      const now = Date.now();
      const at = new Map([
        ['soon', now + 400],
        ['past', now - 60_000],
        ['later', now + 1_200],
      ]);
      await queue.later([]);
      await queue.later([...at].map(([key, time]) => ({ slot, key, at: time, body: utf8.encode(key) })));
      await until(() => hands.taken.length === 3, 'all three');
      assert.deepEqual(hands.texts, ['past', 'soon', 'later']);
      for (const taken of hands.taken) assert.ok(taken.time >= (at.get(textOf(taken)) ?? 0), textOf(taken));
      assert.equal(await queue.appointments(slot, 'soon'), 0);
      await stop();
    });

    it('keeps one appointment of a key: the last', async () => {
      const [queue, slot] = [queueOf(), freshSlot()];
      const hands = new Hands();
      const { stop } = await queue.own(slot, 10, hands.on);
      const now = Date.now();
      const again = (text: string, ms: number) => ({
        slot,
        key: 'a/b',
        at: now + ms,
        body: utf8.encode(text),
      });
      await queue.later([again('1', 300), again('2', 86_400_000)]);
      assert.equal(await queue.appointments(slot, 'a/b'), 1);
      await queue.later([again('3', 700)]);
      assert.equal(await queue.appointments(slot, 'a'), 1);
      await until(() => hands.taken.length > 0, 'it');
      await sleep(400);
      assert.deepEqual(hands.texts, ['3']);
      await stop();
    });

    it('calls off and counts the appointments of a key and below it', async () => {
      const [queue, slot, other] = [queueOf(), freshSlot(), freshSlot()];
      const keys = ['a', 'a/1', 'a/1/x', 'a/2', 'ab', 'b. *>%/ü', 'b. *>%/ü/1'];
      const at = Date.now() + 86_400_000;
      await queue.later(keys.map((key) => ({ slot, key, at, body: utf8.encode(key) })));
      await queue.later([{ slot: other, key: 'a/1', at, body: utf8.encode('other') }]);
      const counts = async () => {
        const found: number[] = [];
        for (const key of keys) found.push(await queue.appointments(slot, key));
        return found;
      };
      assert.deepEqual(await counts(), [4, 2, 1, 1, 1, 2, 1]);
      await queue.cancel(slot, 'a/1');
      assert.deepEqual(await counts(), [2, 0, 0, 1, 1, 2, 1]);
      await queue.cancel(slot, 'a/1');
      await queue.cancel(slot, 'b. *>%/ü');
      await queue.cancel(slot, 'a');
      assert.deepEqual(await counts(), [0, 0, 0, 0, 1, 0, 0]);
      assert.equal(await queue.appointments(other, 'a'), 1);
      await queue.cancel(slot, 'ab');
      await queue.cancel(other, 'a');
    });

    it('has bounds of slots, ids, keys, bodies, times and hands, and takes what is at them', async () => {
      const [queue, slot] = [queueOf(), queueSlots - 1];
      const body = new Uint8Array(1);
      const at = Date.now() + 86_400_000;
      const put = (more: Partial<QueueEntry>) => queue.put([{ slot, id: `${++entries}`, body, ...more }]);
      const later = (more: object) => queue.later([{ slot, key: 'k', at, body, ...more }]);
      const most = new Uint8Array(queueLimits.bodyBytes);
      const over = new Uint8Array(queueLimits.bodyBytes + 1);
      const key = 'ü'.repeat(queueLimits.keyBytes / 2);
      const invalid = { code: 'request_invalid' };
      const hands = new Hands();
      const { stop } = await queue.own(slot, queueLimits.inHand, hands.on);
      await put({ id: 'x'.repeat(64), body: most });
      await put({ id: `Z-_9${++entries}`, body: new Uint8Array(0) });
      await later({ key, body: most, at: Date.now() });
      await later({ key: 'never', at: queueLimits.latest });
      await until(() => hands.taken.length === 3, 'what is at the bounds');
      assert.deepEqual(
        hands.taken.map((taken) => taken.body.length),
        [most.length, 0, most.length],
      );
      for (const wrong of [-1, queueSlots, 0.5, Number.NaN]) {
        await assert.rejects(put({ slot: wrong }), invalid);
        await assert.rejects(later({ slot: wrong }), invalid);
        await assert.rejects(queue.cancel(wrong, 'k'), invalid);
        await assert.rejects(queue.appointments(wrong, 'k'), invalid);
        await assert.rejects(queue.own(wrong, 1, keep), invalid);
      }
      for (const wrong of ['', 'x'.repeat(65), 'a b', 'ü', 'a.b'])
        await assert.rejects(put({ id: wrong }), invalid);
      for (const wrong of ['', `${key}x`]) {
        await assert.rejects(later({ key: wrong }), invalid);
        await assert.rejects(queue.cancel(slot, wrong), invalid);
        await assert.rejects(queue.appointments(slot, wrong), invalid);
      }
      for (const wrong of [Number.NaN, -1, queueLimits.latest + 1])
        await assert.rejects(later({ at: wrong }), invalid);
      for (const wrong of [0, 0.5, queueLimits.inHand + 1])
        await assert.rejects(queue.own(slot, wrong, keep), invalid);
      await assert.rejects(put({ body: over }), { code: 'payload_too_large' });
      await assert.rejects(later({ body: over }), { code: 'payload_too_large' });
      assert.throws(() => under().backbone.queue('A b'), invalid);
      await queue.cancel(slot, 'never');
      await stop();
    });
  });
}
