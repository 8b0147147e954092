import assert from 'node:assert/strict';
import { it } from 'node:test';
import type { Cursor, Namespace, Topic } from '@pushfleet/core';
import fc from 'fast-check';
import { decodeJob, decodeOwed, encodeJob, encodeOwed, type Owed } from './job.ts';
import { deliveryId, slotOf } from './place.ts';

const owed = fc.record({
  cursor: fc.string().map((text) => text as Cursor),
  publication: fc
    .record(
      {
        id: fc.string(),
        source: fc.string(),
        topic: fc.string().map((text) => text as Topic),
        contentType: fc.string(),
        payload: fc.uint8Array({ maxLength: 200 }),
        type: fc.string(),
        attributes: fc.array(fc.tuple(fc.string(), fc.string())),
        expiresAt: fc.nat(),
        time: fc.nat(),
        shard: fc.nat(),
        sequence: fc.nat(),
      },
      { requiredKeys: ['id', 'source', 'topic', 'contentType', 'payload', 'time', 'shard', 'sequence'] },
    )
    .map((publication) => publication as Owed['publication']),
});

/** Payloads as plain bytes: a Buffer that holds the same is the same. */
const plain = ({ publication, ...rest }: Owed): unknown => ({
  ...rest,
  publication: { ...publication, payload: [...publication.payload] },
});

it('reads what it has written, whatever the texts and the payload hold', () => {
  fc.assert(
    fc.property(owed, fc.array(fc.string()), (one, ids) => {
      assert.deepEqual(plain(decodeOwed(encodeOwed(one))), plain(one));
      const job = { kind: 'deliver', namespace: 'n' as Namespace, owed: one, ids } as const;
      const read = decodeJob(encodeJob(job));
      assert.ok(read.kind === 'deliver');
      assert.deepEqual({ ...read, owed: plain(read.owed) }, { ...job, owed: plain(one) });
    }),
  );
});

it('keeps the slot of a subscription and the name of a delivery for good', () => {
  assert.equal(slotOf({ namespace: 'default' as Namespace, id: 'sub_1' }), 59);
  const publication = { id: '1', source: 's', topic: 't' } as Owed['publication'];
  assert.equal(deliveryId('default' as Namespace, publication), 'msg_SIm6N0uyMcODXCayZMakvt');
});
