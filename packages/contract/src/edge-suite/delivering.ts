import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Scene } from './scene.ts';
import { suiteRetention } from './under-test.ts';

/** Each topic's publications come in the order in which they were stored. */
export async function inOrder(scene: Scene): Promise<void> {
  const topics = ['order/a', 'order/b', 'order/b/c'];
  const receiver = await scene.open(0, ['order/#']);
  const sent = await Promise.all(
    topics.map((topic) => scene.publish(Array.from({ length: 20 }, () => topic))),
  );
  await receiver.has(sent.flat());
  for (const [index, topic] of topics.entries()) {
    const ofTopic = receiver.received.filter((one) => one.topic === topic).map(({ id }) => id);
    assert.deepEqual([...new Set(ofTopic)], sent[index], topic);
  }
}

/** However many filters match, it comes once; what none matches does not come. */
export async function overlapping(scene: Scene): Promise<void> {
  const receiver = await scene.open(0, ['over/#', 'over/+', 'over/a', 'over/a/+']);
  await scene.publish(['elsewhere/a']);
  const sent = await scene.publish(['over/a', 'over/a/b', 'over/c']);
  await receiver.has(sent);
  const [last] = await scene.publish(['over/a']);
  await receiver.has([last as string]);
  // Topics may lie in several shards, and order holds for each alone.
  const got = receiver.received.map(({ topic }) => topic);
  assert.deepEqual(got.toSorted(), ['over/a', 'over/a', 'over/a/b', 'over/c']);
}

/** An id that is published again is stored once, and comes once. */
export async function duplicate(scene: Scene): Promise<void> {
  const receiver = await scene.open(0, ['twice']);
  const { namespace } = scene.holder;
  const sent = { namespace, topic: 'twice', id: 'the same', text: 'x' };
  const answers = [await scene.fleet.publish(sent), await scene.fleet.publish(sent)];
  assert.deepEqual(
    answers.map(({ duplicate }) => duplicate),
    [false, true],
  );
  const [last] = await scene.publish(['twice']);
  await receiver.has([last as string]);
  assert.deepEqual(
    receiver.received.map(({ id }) => id),
    ['the same', last],
  );
}

/** Whoever asks for it is given the newest retained publication of each topic, before what is new. */
export async function retained(scene: Scene): Promise<void> {
  await scene.publish(['kept/a', 'kept/b'], { retain: true, text: 'old' });
  const kept = await scene.publish(['kept/a', 'kept/b'], { retain: true, text: 'state' });
  const receiver = await scene.open(1, ['kept/+'], { retained: true });
  await receiver.has(kept);
  const fresh = await scene.publish(['kept/a']);
  await receiver.has(fresh);
  assert.deepEqual(receiver.ids.toSorted(), [...kept, ...fresh].toSorted());
  assert.equal(receiver.ids.at(-1), fresh[0]);
  const told = receiver.received.filter(({ retained: is }) => is !== undefined);
  assert.deepEqual(
    told.filter(({ id, retained: is }) => is !== kept.includes(id)),
    [],
    'what says that it is retained is, and nothing else',
  );
}

/** What was published meanwhile comes at the other instance, and nothing is lost between the two. */
export async function resuming(scene: Scene): Promise<void> {
  const topics = ['resume/a', 'resume/b'];
  const receiver = await scene.open(0, ['resume/+']);
  const sent = await scene.publish(topics);
  await receiver.has(sent);
  for (const instance of [1, 0, 1] as const) {
    const moving = receiver.move(scene.address(instance));
    sent.push(...(await scene.publish([...topics, ...topics])));
    await moving;
    await receiver.has(sent);
    sent.push(...(await scene.publish(topics)));
    await receiver.has(sent);
  }
  assert.deepEqual(receiver.ids.toSorted(), sent.toSorted());
  for (const [index, topic] of topics.entries()) {
    const got = receiver.received.filter((one) => one.topic === topic).map(({ id }) => id);
    const owed = sent.filter((_, n) => n % topics.length === index);
    assert.deepEqual([...new Set(got)], owed, topic);
  }
  assert.deepEqual(receiver.gaps, []);
}

/** Whoever was away for longer than the topic is kept is told, once, and goes on behind it. */
export async function gapAfterRetention(scene: Scene): Promise<void> {
  const first = await scene.open(0, ['brief/#']);
  await first.has(await scene.publish(['brief/a']));
  const after = first.cursor;
  assert.ok(after !== undefined, 'a cursor');
  first.close();
  await scene.publish(['brief/a', 'brief/b']);
  await sleep(2 * suiteRetention * 1_000 + 500);
  const second = await scene.open(1, ['brief/#'], { after });
  const fresh = await scene.publish(['brief/a']);
  await second.has(fresh);
  assert.equal(second.gaps.length, 1);
  assert.equal(second.gaps[0]?.from, after);
  assert.notEqual(second.gaps[0]?.to, after);
  assert.deepEqual(second.ids, fresh);
}
