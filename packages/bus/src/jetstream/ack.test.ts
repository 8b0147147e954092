import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Msg } from '@nats-io/transport-node';
import { readAck } from './ack.ts';

const answered = (answer: object): Msg => ({ data: Buffer.from(JSON.stringify(answer)) }) as unknown as Msg;
const failure = (code: number, err_code: number, description: string): Msg =>
  answered({ error: { code, err_code, description } });

test('what the broker may answer otherwise in a moment is sent again', () => {
  for (const message of [
    failure(409, 10_158, 'duplicate message id is in process'),
    failure(429, 10_167, 'too many requests'),
    failure(503, 10_008, 'JetStream system temporarily unavailable'),
    answered({}),
    { data: new Uint8Array() } as Msg,
    { data: Buffer.from('{') } as unknown as Msg,
  ]) {
    assert.deepEqual(readAck(message), { kind: 'again' });
  }
});

test('what it will answer again is refused, and a full log by its own name', () => {
  assert.deepEqual(readAck(failure(400, 10_071, 'wrong last sequence: 5')), {
    ...{ kind: 'refused', code: 'other', why: 'wrong last sequence: 5' },
  });
  const tooLarge = readAck(failure(400, 10_054, 'message size exceeds maximum allowed'));
  assert.equal(tooLarge.kind === 'refused' && tooLarge.code, 'payload_too_large');
});

test('what is stored says where, and whether it was there', () => {
  const stored = { kind: 'stored', sequence: 7, count: 1 };
  assert.deepEqual(readAck(answered({ stream: 's', seq: 7 })), { ...stored, duplicate: false });
  assert.deepEqual(readAck(answered({ seq: 7, duplicate: true })), { ...stored, duplicate: true });
});
