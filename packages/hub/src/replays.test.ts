import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { Cursor } from '@pushfleet/core';
import type { HubOptions } from './mod.ts';
import { Stage } from './test/stage.ts';

/** Two topics of two publications each, and nothing of them in the ring. */
async function stageWith(hub: Partial<HubOptions>) {
  const reads: number[] = [];
  const stage = new Stage({
    hub: { ringCount: 1, ...hub, observer: { replayed: ({ bytes }) => void reads.push(bytes) } },
  });
  const after = await stage.publish('first', '0');
  for (const topic of ['a', 'b']) for (const id of ['1', '2']) await stage.publish(topic, id);
  await stage.publish('last', 'fills the ring');
  return { stage, after, reads };
}

async function read(stage: Stage, topic: string, after: Cursor): Promise<void> {
  const client = await stage.subscribe(topic, { after });
  await stage.settle();
  assert.deepEqual(client.ids(), ['1', '2']);
}

suite('a page that was read is kept for others who need it', () => {
  test('for a while', async () => {
    const { stage, after, reads } = await stageWith({ pageLingerMs: 1_000 });
    await read(stage, 'a', after);
    await stage.clock.advance(900);
    await read(stage, 'a', after);
    assert.equal(reads.length, 1);
    await stage.clock.advance(1_000);
    await read(stage, 'a', after);
    assert.equal(reads.length, 2);
  });

  for (const [what, room, again] of [
    ['as long as all of them fit', 2, 2],
    ['unless a younger one needs the room', 1.5, 3],
    ['not at all where one does not fit', 0.5, 3],
  ] as const) {
    test(what, async () => {
      const page = await sizeOfPage();
      const { stage, after, reads } = await stageWith({ keptBytes: page * room });
      await read(stage, 'a', after);
      await read(stage, 'b', after);
      await read(stage, 'a', after);
      assert.equal(reads.length, again);
    });
  }
});

async function sizeOfPage(): Promise<number> {
  const { stage, after, reads } = await stageWith({});
  await read(stage, 'a', after);
  return reads[0] as number;
}
