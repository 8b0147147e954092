import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Backbone } from '@pushfleet/core';
import { until } from '../until.ts';

const values = [0, false, '', null, [], { text: 'ü', list: [1, [2]] }, 'x'.repeat(65_534)];

export function signalling(backbone: () => Backbone): void {
  describe('signals', () => {
    it('reach everybody who hears the name, as they were said, in order', async () => {
      const { signals } = backbone();
      const heard: unknown[][] = [[], []];
      const stop = heard.map((into) => signals.hear('told', (value) => into.push(value)));
      stop.push(signals.hear('another', () => assert.fail('that was not its name')));
      for (const value of values) signals.tell('told', value);
      await until(() => heard.every((list) => list.length === values.length), 'all values at both');
      assert.deepEqual(heard, [values, values]);
      stop.shift()?.();
      signals.tell('told', 'later');
      await until(() => heard[1]?.at(-1) === 'later', 'the one that still listens');
      assert.equal(heard[0]?.length, values.length);
      for (const end of stop) end();
    });

    it('that cannot be told harm nobody, and one who fails to listen does not keep others from it', async () => {
      const { signals } = backbone();
      const heard: unknown[] = [];
      const stop = [
        signals.hear('harm', () => {
          throw new Error('on purpose');
        }),
        signals.hear('harm', (value) => heard.push(value)),
      ];
      for (const value of [undefined, 1n, 'x'.repeat(65_535), 'good']) signals.tell('harm', value);
      await until(() => heard.length > 0, 'the good one');
      assert.deepEqual(heard, ['good']);
      for (const end of stop) end();
    });
  });

  describe('questions', () => {
    it('are answered by everybody, later too, until it is enough', async () => {
      const { signals } = backbone();
      const stop = [
        signals.answer('sum', (question) => ({ from: 'a', sum: Number(question) + 1 })),
        signals.answer('sum', async (question) => {
          await sleep(5);
          return { from: 'b', sum: Number(question) + 2 };
        }),
        signals.answer('sum', () => undefined),
        signals.answer('sum', () => Promise.reject(new Error('on purpose'))),
      ];
      const answers: unknown[] = [];
      await signals.ask('sum', 40, 20_000, (answer) => answers.push(answer) === 2);
      assert.deepEqual(answers, [
        { from: 'a', sum: 41 },
        { from: 'b', sum: 42 },
      ]);
      for (const end of stop) end();
    });

    it('nobody answers end at once, and those that too few answer when their time is up', async () => {
      const { signals } = backbone();
      const none = (): boolean => assert.fail('there is nobody');
      await signals.ask('nobody', {}, 600_000, none);
      const stop = signals.answer('few', () => 'one');
      const answers: unknown[] = [];
      const asked = signals.ask('few', {}, 1_000, (answer) => answers.push(answer) === 2);
      await Promise.all([asked, sleep(1_100)]); // which keeps the process alive for the log in memory
      assert.deepEqual(answers, ['one']);
      stop();
      await signals.ask('few', {}, 600_000, none);
    });

    it('hand over nothing behind the answer that was enough, and pass on what their asker throws', async () => {
      const { signals } = backbone();
      const stop = [1, 2, 3].map((number) => signals.answer('three', () => number));
      let calls = 0;
      await signals.ask('three', {}, 20_000, () => ++calls === 1);
      await signals.ask('three', {}, 100, () => calls++ > 10 || calls === 4);
      assert.equal(calls, 4);
      const asked = signals.ask('three', {}, 20_000, () => {
        throw new Error('on purpose');
      });
      await assert.rejects(asked, /on purpose/);
      await assert.rejects(
        signals.ask('three', 'x'.repeat(65_535), 20_000, () => true),
        /65536/,
      );
      for (const end of stop) end();
    });
  });
}
