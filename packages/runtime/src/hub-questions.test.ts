import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { type Deletion, defaultNamespace, parseTopic, type TopicFilter } from '@pushfleet/core';
import fc from 'fast-check';
import {
  answerForHubs,
  explainEverywhere,
  feedsEverywhere,
  forgetEverywhere,
  type HubExplanation,
  type HubKnowledge,
} from './hub-questions.ts';

const topic = parseTopic('a/b');
const deletion: Deletion = { topic, shard: 1, first: 2, last: 9, count: 3 };
const explanation: HubExplanation = {
  remembered: true,
  filters: [{ filter: 'a/#' as TopicFilter, feeds: 2 }],
  ...{ matched: 2, delivered: 1, pending: 1, dropped: 0 },
};

/** Instances that hear each other through JSON. */
function scene() {
  const answers = new Map<string, ((question: unknown) => unknown)[]>();
  const asked: unknown[] = [];
  const overWire = (value: unknown) => (value === undefined ? undefined : JSON.parse(JSON.stringify(value)));
  const fleet = {
    answer: (name: string, on: (question: unknown) => unknown) =>
      void answers.set(name, [...(answers.get(name) ?? []), on]),
    async ask<T>(name: string, question: unknown) {
      asked.push(question);
      const given = (answers.get(name) ?? []).map((on) => overWire(on(overWire(question))));
      return given.flatMap((answer, index) => {
        const protocol = index === 0 ? { protocol: 'sse' } : {};
        const from = { instance: `i${index}`, service: index === 0 ? 'edge-sse' : 'publish', ...protocol };
        return answer === undefined ? [] : [{ from, answer: answer as T }];
      });
    },
  };
  return { fleet, answers, asked };
}

function hubsOf(over: Partial<HubKnowledge> = {}) {
  const forgotten: unknown[] = [];
  const hubs: HubKnowledge = {
    feedsOn: () => 2,
    explain: () => explanation,
    forget: (...given) => void forgotten.push(given),
    ...over,
  };
  return { hubs, forgotten };
}

suite('questions to the hubs of the fleet', () => {
  test('what was deleted is forgotten everywhere', async () => {
    const { fleet } = scene();
    const [one, other] = [hubsOf(), hubsOf()];
    for (const { hubs } of [one, other]) answerForHubs(fleet, hubs);
    await forgetEverywhere(fleet, defaultNamespace, deletion);
    for (const { forgotten } of [one, other]) assert.deepEqual(forgotten, [[defaultNamespace, deletion]]);
  });

  test('feeds are summed by protocol, or by service where it has none', async () => {
    const { fleet } = scene();
    for (const feeds of [1, 2, 4]) answerForHubs(fleet, hubsOf({ feedsOn: () => feeds }).hubs);
    assert.deepEqual(await feedsEverywhere(fleet, defaultNamespace, topic), { publish: 6, sse: 1 });
  });

  test('each instance explains, the filters with the most feeds first', async () => {
    const { fleet } = scene();
    answerForHubs(fleet, hubsOf().hubs);
    const filters = Array.from({ length: 30 }, (_, n) => ({ filter: `f${n}` as TopicFilter, feeds: n }));
    answerForHubs(fleet, hubsOf({ explain: () => ({ ...explanation, filters }) }).hubs);
    const [one, other] = await explainEverywhere(fleet, defaultNamespace, { topic, shard: 0, sequence: 7 });
    assert.deepEqual(one?.explanation, explanation);
    assert.equal(one?.from.service, 'edge-sse');
    assert.equal(other?.explanation.filters.length, 20);
    assert.deepEqual(other?.explanation.filters[0], { filter: 'f29', feeds: 29 });
  });

  test('a question of another form is not answered, and harms nobody', async () => {
    const { fleet, answers } = scene();
    const { hubs, forgotten } = hubsOf();
    answerForHubs(fleet, hubs);
    const wrong: unknown[] = [
      ...[undefined, null, 1, 'x', [], {}],
      { namespace: 'a b', topic, shard: 0, sequence: 1, deletion },
      { namespace: 1, topic, shard: 0, sequence: 1, deletion },
      { namespace: 'n', topic: 'a/#', shard: -1, sequence: 1, deletion: { ...deletion, topic: '#' } },
      { namespace: 'n', topic: '', shard: 0, sequence: 1.5, deletion: { ...deletion, last: '9' } },
    ];
    for (const [name, [on]] of answers) {
      for (const question of wrong) assert.equal(on?.(question), undefined, `${name} ${String(question)}`);
    }
    fc.assert(
      fc.property(fc.constantFrom(...answers.keys()), fc.jsonValue(), (name, question) => {
        for (const on of answers.get(name) ?? []) on(question);
      }),
    );
    assert.deepEqual(forgotten, []);
  });

  test('an answer of another form counts as none', async () => {
    await fc.assert(
      fc.asyncProperty(fc.jsonValue(), async (value) => {
        const { fleet } = scene();
        for (const name of ['feeds', 'explain']) fleet.answer(name, () => value);
        const feeds = await feedsEverywhere(fleet, defaultNamespace, topic);
        assert.ok(Object.values(feeds).every((n) => Number.isSafeInteger(n) && n >= 0));
        assert.deepEqual(
          await explainEverywhere(fleet, defaultNamespace, { topic, shard: 0, sequence: 1 }),
          [],
        );
      }),
    );
  });
});
