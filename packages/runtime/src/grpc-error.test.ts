import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Metadata, type ServiceError, status } from '@grpc/grpc-js';
import { type ErrorCode, grpcStatus, meanings, PushfleetError } from '@pushfleet/core';
import { fromGrpc, toGrpc } from './grpc-error.ts';

const asError = (o: Partial<ServiceError>): ServiceError =>
  Object.assign(new Error(o.details), o) as ServiceError;

describe('toGrpc and fromGrpc', () => {
  for (const code of Object.keys(meanings) as ErrorCode[]) {
    it(`carry ${code} there and back`, () => {
      const sent = toGrpc(new PushfleetError(code, 'What and what to do.', { retryAfterMs: 1_500 }));
      assert.equal(sent.code, grpcStatus[meanings[code].grpc]);
      const received = fromGrpc(asError(sent));
      assert.equal(received.code, code);
      assert.equal(received.message, 'What and what to do.');
      assert.equal(received.retryAfterMs, 1_500);
    });
  }

  const foreign: readonly (readonly [status, ErrorCode])[] = [
    [status.UNAVAILABLE, 'unavailable'],
    [status.DEADLINE_EXCEEDED, 'timeout'],
    [status.CANCELLED, 'unavailable'],
    [status.UNAUTHENTICATED, 'unauthenticated'],
    [status.RESOURCE_EXHAUSTED, 'rate_limited'],
    [status.UNKNOWN, 'internal'],
    [status.DATA_LOSS, 'internal'],
  ];
  for (const [code, meant] of foreign) {
    it(`take a bare ${status[code]} for ${meant}`, () => {
      assert.equal(fromGrpc(asError({ code, details: 'x', metadata: new Metadata() })).code, meant);
      assert.equal(fromGrpc(asError({ code, details: 'x' })).code, meant);
    });
  }

  it('do not believe a code that is none of the fleet', () => {
    const metadata = new Metadata();
    metadata.set('pushfleet-code', 'constructor');
    assert.equal(fromGrpc(asError({ code: status.NOT_FOUND, details: '', metadata })).code, 'not_found');
  });

  it('say nothing of an error that was not meant for callers', () => {
    assert.ok(!toGrpc(new Error('hunter2')).details.includes('hunter2'));
  });
});
