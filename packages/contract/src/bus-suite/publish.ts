import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  type Bus,
  type Draft,
  type Publication,
  PushfleetError,
  type Stored,
  Succession,
  type Topic,
} from '@pushfleet/core';
import { draftOf, replayed, store } from './tools.ts';

export function publishing(fresh: () => Bus): void {
  describe('publish', () => {
    it('is ready once started and answers an empty list', async () => {
      assert.deepEqual(await fresh().publish([]), []);
    });

    it('answers in the order of the drafts, each with a cursor of its own', async () => {
      const bus = fresh();
      const list = ['a', 'b', 'a', 'c/d', 'a'].map((topic) => draftOf(topic));
      const answers = await bus.publish(list);
      assert.deepEqual(
        answers.map((answer) => (answer as Stored).id),
        list.map(({ id }) => id),
      );
      assert.equal(new Set(answers.map((answer) => (answer as Stored).cursor)).size, list.length);
      for (const answer of answers) assert.equal((answer as Stored).duplicate, false);
    });

    it('stores none behind one of its succession and topic that was refused for now', async () => {
      const bus = fresh();
      const succession = new Succession();
      succession.refused('after', new PushfleetError('unavailable', 'Not now.'));
      const answers = await bus.publish([draftOf('after'), draftOf('other'), draftOf('after')], succession);
      assert.deepEqual(
        answers.map((answer) => answer instanceof PushfleetError && answer.code),
        ['unavailable', false, 'unavailable'],
      );
      await store(bus, draftOf('after'));
    });

    it('stores an id of the same source and topic once, alone and inside a backlog', async () => {
      const bus = fresh();
      const from = await bus.head();
      const draft = draftOf('dup/t');
      await store(bus, draft);
      assert.equal((await store(bus, draft)).duplicate, true);
      const others = [draftOf('dup/t'), draft, draftOf('dup/t')];
      const answers = (await bus.publish(others)) as Stored[];
      assert.deepEqual(
        answers.map(({ duplicate }) => duplicate),
        [false, true, false],
      );
      const { publications } = await replayed(bus, ['dup/#'], from, await bus.head());
      assert.deepEqual(
        publications.map(({ id }) => id),
        [draft.id, others[0]?.id, others[2]?.id],
      );
    });

    it('stores a long backlog with ids in it twice, each once and in order', async () => {
      const bus = fresh();
      const from = await bus.head();
      const known = draftOf('long');
      await store(bus, known);
      const sent = Array.from({ length: 90 }, () => draftOf('long'));
      const answers = (await bus.publish([
        ...sent.slice(0, 50),
        known,
        sent[3] as Draft,
        ...sent.slice(50),
      ])) as Stored[];
      assert.deepEqual(
        answers.flatMap(({ duplicate }, index) => (duplicate ? [index] : [])),
        [50, 51],
      );
      const { publications } = await replayed(bus, ['long'], from, await bus.head());
      assert.deepEqual(
        publications.map(({ id }) => id),
        [known, ...sent].map(({ id }) => id),
      );
    });

    it('does not take the same id in another topic, source or namespace for a duplicate', async () => {
      const bus = fresh();
      const draft = draftOf('same');
      await store(bus, draft);
      const others = [
        { ...draft, topic: 'other' as Topic },
        { ...draft, source: 'somebody else' },
      ];
      for (const other of others) assert.equal((await store(bus, other)).duplicate, false);
      assert.equal((await store(fresh(), draft)).duplicate, false);
    });

    it('refuses one draft of several and stores the rest', async () => {
      const bus = fresh();
      const huge = draftOf('big', { payload: new Uint8Array(2_000_000) });
      const answers = await bus.publish([draftOf('big'), huge, draftOf('big')]);
      assert.ok(answers[1] instanceof PushfleetError);
      assert.equal(answers[1].code, 'payload_too_large');
      assert.ok(!(answers[0] instanceof PushfleetError) && !(answers[2] instanceof PushfleetError));
    });

    it('keeps every field of a draft', async () => {
      const bus = fresh();
      const draft = draftOf('fields/ü/ä b', {
        id: 'an id: with % and ü',
        type: 'a type',
        origin: 'here',
        contentType: 'text/plain; charset=utf-8',
        attributes: [
          ['b', 'first\r\nsecond: line'],
          ['a=b', ' leading and trailing '],
          ['b', '𝄞 100% '],
          ['empty', ''],
        ],
        expiresAt: Date.now() + 600_000,
        retain: true,
        payload: Uint8Array.of(0, 1, 2, 255),
      });
      const from = await bus.head();
      await store(bus, draft);
      const { publications } = await replayed(bus, ['#'], from, await bus.head());
      const [{ time, shard, sequence, payload, ...rest }] = publications as [Publication];
      const { payload: sent, ...wanted } = draft;
      assert.deepEqual(rest, wanted);
      assert.deepEqual([...payload], [...sent]);
      assert.ok(Math.abs(time - Date.now()) < 60_000 && shard >= 0 && sequence > 0);
    });

    it('keeps the order of each topic however many publish calls run at once', async () => {
      const bus = fresh();
      const from = await bus.head();
      const wanted = new Map<string, string[]>();
      const calls = [];
      for (let i = 0; i < 1_200; i++) {
        const draft = draftOf(`order/${i % 7}`);
        wanted.set(draft.topic, [...(wanted.get(draft.topic) ?? []), draft.id]);
        calls.push(bus.publish([draft]));
      }
      for (const answers of await Promise.all(calls)) assert.ok(!(answers[0] instanceof PushfleetError));
      const { publications } = await replayed(bus, ['order/+'], from, await bus.head());
      for (const [topic, ids] of wanted) {
        const got = publications.filter((publication) => publication.topic === topic).map(({ id }) => id);
        assert.deepEqual(got, ids);
      }
    });
  });
}
