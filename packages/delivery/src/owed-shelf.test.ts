import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { createMemoryBackbone } from '@pushfleet/bus';
import { type Cursor, type Namespace, parseTopic } from '@pushfleet/core';
import type { Owed } from './job.ts';
import { OwedShelf } from './owed-shelf.ts';

describe('the shelf of what is owed', () => {
  const backbone = createMemoryBackbone();
  beforeEach(() => backbone.start());
  afterEach(() => backbone.close());

  const owed = (text: string, sequence: number): Owed => {
    const content = { contentType: 'text/plain', payload: Buffer.from(text), time: 1, shard: 0, sequence };
    const publication = { id: text, source: 'test', topic: parseTopic('a'), ...content };
    return { publication, cursor: 'g-1-5.7' as Cursor };
  };

  it('takes no publication for another that came under the same cursor', async () => {
    const shelf = new OwedShelf(backbone.shelf('owed'), 60_000);
    const places = [
      await shelf.keep('alpha' as Namespace, owed('of alpha', 5)),
      await shelf.keep('beta' as Namespace, owed('of beta', 5)),
      await shelf.keep('alpha' as Namespace, owed('another of alpha', 6)),
    ];
    const texts = places.map(async (place) => String((await shelf.get(place))?.publication.payload));
    assert.deepEqual(await Promise.all(texts), ['of alpha', 'of beta', 'another of alpha']);
    assert.equal(await shelf.keep('beta' as Namespace, owed('of beta', 5)), places[1]);
  });
});
