import assert from 'node:assert/strict';
import { test } from 'node:test';
import { until } from '@pushfleet/contract';
import { createLog, type Metrics, type Reading } from '@pushfleet/runtime';
import { Behind } from './behind.ts';

/** Starts one over answers in turn, and reads what a scrape would. */
function under(answers: (number | Error)[]) {
  let read: () => Reading = () => [];
  const gauge: Metrics['gauge'] = (_, __, reading) => {
    read = reading;
  };
  let asked = 0;
  const tail = {
    behind: async () => {
      const answer = answers[asked++];
      if (answer instanceof Error) throw answer;
      return answer ?? 0;
    },
  };
  const log = createLog({ name: 'test', level: 'silent' });
  return {
    behind: new Behind('webhook', tail, { gauge }, log),
    shown: () => Array.from(read() as []),
    asked: () => asked,
  };
}

test('shows how far the reading is behind, once it is known', async () => {
  const { behind, shown } = under([7]);
  assert.deepEqual(shown(), []);
  await behind.start();
  await until(() => shown().length > 0, 'an answer');
  assert.deepEqual(shown(), [[7, {}]]);
  await behind.close();
});

test('shows nothing while the log cannot tell', async () => {
  const { behind, shown, asked } = under([new Error('away')]);
  await behind.start();
  await until(() => asked() === 1, 'the question');
  assert.deepEqual(shown(), []);
  await behind.close();
  await behind.close();
});
