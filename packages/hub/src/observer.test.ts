import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { formatCursor, type Publication } from '@pushfleet/core';
import type { HubObserver } from './mod.ts';
import { Stage } from './test/stage.ts';

/** Stands in for what a service measures. */
class Watcher implements HubObserver {
  readonly offered: string[] = [];
  readonly reads: { count: number; bytes: number; ms: number }[] = [];
  gaps = 0;

  published({ id }: Publication, feeds: number): void {
    this.offered.push(`${id} to ${feeds}`);
  }

  gap(): void {
    this.gaps++;
  }

  replayed(read: { count: number; bytes: number; ms: number }): void {
    this.reads.push(read);
  }
}

suite('an observer of the hubs is told', () => {
  test('of each live publication that was offered to a feed', async () => {
    const observer = new Watcher();
    const stage = new Stage({ hub: { observer } });
    await stage.subscribe(['a', '#']);
    await stage.subscribe('a');
    await stage.publish('a', '1');
    await stage.publish('b', '2');
    await stage.publish('$nobody', '3');
    await stage.settle();
    assert.deepEqual(observer.offered, ['1 to 2', '2 to 1']);
  });

  test('of each page that was read from the log, once for all who needed it', async () => {
    const observer = new Watcher();
    const stage = new Stage({ hub: { observer, ringCount: 1 } });
    const after = await stage.publish('a', '1');
    for (const id of ['2', '3', '4']) await stage.publish('a', id);
    const clients = await Promise.all([1, 2].map(() => stage.subscribe('a', { after })));
    await stage.settle();
    for (const client of clients) assert.deepEqual(client.ids(), ['2', '3', '4']);
    assert.equal(observer.reads.length, 1);
    assert.equal(observer.reads[0]?.count, 3);
    assert.ok((observer.reads[0]?.bytes ?? 0) > 3);
  });

  test('of each gap that a feed was given', async () => {
    const observer = new Watcher();
    const stage = new Stage({ hub: { observer } });
    const after = formatCursor({ generation: 'lost', positions: [3], time: 1 });
    const client = await stage.subscribe('a', { after });
    await stage.settle();
    assert.equal(observer.gaps, 0);
    assert.deepEqual(client.ids(), ['gap']);
    assert.equal(observer.gaps, 1);
  });
});
