import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Client, credentials, Metadata, type ServiceError, status } from '@grpc/grpc-js';
import fc from 'fast-check';
import { authorized, startGrpc } from './testing.ts';

const raw = (bytes: Buffer): Buffer => bytes;
const path = (method: string): string => `/pushfleet.publish.v1.PublishService/${method}`;

describe('noise on gRPC', () => {
  let api: Awaited<ReturnType<typeof startGrpc>>;
  let client: Client;
  before(async () => {
    api = await startGrpc();
    client = new Client(`127.0.0.1:${api.api.port}`, credentials.createInsecure());
  });
  after(async () => {
    client.close();
    await api.stop();
  });

  function unary(method: string, message: Buffer, metadata: Metadata): Promise<number> {
    return new Promise((resolve) => {
      client.makeUnaryRequest(path(method), raw, raw, message, metadata, (error: ServiceError | null) =>
        resolve(error?.code ?? status.OK),
      );
    });
  }

  function stream(method: string, messages: readonly Buffer[]): Promise<number> {
    return new Promise((resolve) => {
      const call = client.makeBidiStreamRequest(path(method), raw, raw, authorized());
      call.on('data', () => {});
      call.on('error', () => {});
      call.on('status', ({ code }) => resolve(code));
      for (const message of messages) call.write(message);
      call.end();
    });
  }

  // A field's number and wire type before noise gets further into a decoder than noise alone.
  const message = fc
    .oneof(
      fc.uint8Array({ maxLength: 100 }),
      fc
        .tuple(fc.integer({ min: 1, max: 100 }), fc.uint8Array({ maxLength: 100 }))
        .map(([field, bytes]) => Uint8Array.from([(field << 3) | 2, bytes.length, ...bytes])),
    )
    .map((bytes) => Buffer.from(bytes));

  test('every call is answered', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom('Publish', 'PublishBatch', 'Nothing'),
        message,
        async (method, bytes) => {
          assert.notEqual(await unary(method, bytes, authorized()), undefined);
        },
      ),
      { numRuns: 200 },
    );
  });

  test('every stream ends', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(message, { maxLength: 5 }), async (messages) => {
        assert.notEqual(await stream('PublishStream', messages), undefined);
      }),
      { numRuns: 100 },
    );
  });

  test('every token is refused that is none', async () => {
    await fc.assert(
      fc.asyncProperty(fc.string({ unit: 'grapheme-ascii' }), async (text) => {
        const metadata = new Metadata();
        metadata.set('authorization', text);
        assert.equal(await unary('Publish', Buffer.alloc(0), metadata), status.UNAUTHENTICATED);
      }),
      { numRuns: 100 },
    );
  });

  test('and nothing is left of it', async () => {
    assert.equal(api.streams.size, 0);
    assert.equal(api.budget.held, 0);
    assert.equal(
      await unary('Publish', Buffer.from([0x0a, 0x03, 0x1a, 0x01, 0x61]), authorized()),
      status.OK,
    );
  });
});
