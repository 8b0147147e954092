import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type ClientHttp2Session, connect } from 'node:http2';
import { describe, test } from 'node:test';
import { token } from '../testing.ts';
import { startGrpc } from './testing.ts';

const publish = '/pushfleet.publish.v1.PublishService/Publish';
const check = '/grpc.health.v1.Health/Check';

/** A call whose message has been announced, and of which nothing comes. */
function unfinished(session: ClientHttp2Session, path: string, authorization = ''): Promise<string> {
  const call = session.request({
    ...{ ':method': 'POST', ':path': path, 'content-type': 'application/grpc', te: 'trailers' },
    ...(authorization !== '' && { authorization }),
  });
  const head = Buffer.alloc(5);
  head.writeUInt32BE(1_000, 1);
  call.write(head);
  call.on('error', () => {});
  return new Promise((resolve) => {
    call.once('response', (headers) => resolve(String(headers['grpc-status'])));
  });
}

async function scene(o: Parameters<typeof startGrpc>[0]) {
  const api = await startGrpc(o);
  const session = connect(`http://127.0.0.1:${api.api.port}`);
  await once(session, 'connect');
  return {
    session,
    stop: async () => {
      session.destroy();
      await api.stop();
    },
  };
}

describe('who is let in to the gRPC API', () => {
  test('a stranger is refused before its message has come', async (t) => {
    const { session, stop } = await scene({});
    t.after(stop);
    assert.equal(await unfinished(session, publish), '16');
    assert.equal(await unfinished(session, publish, 'Bearer nonsense'), '16');
  });

  test('a message that does not come to its end in time is waited for no longer', async (t) => {
    const { session, stop } = await scene({ messageMs: 50 });
    t.after(stop);
    const bearer = `Bearer ${token()}`;
    assert.equal(await unfinished(session, publish, bearer), '3');
    assert.equal(await unfinished(session, check), '3');
  });

  test('of unfinished requests to what is open to everybody the oldest makes way', async (t) => {
    const { session, stop } = await scene({});
    t.after(stop);
    const oldest = unfinished(session, check);
    for (let i = 0; i < 15; i++) void unfinished(session, check);
    const newest = unfinished(session, check).then(() => 'the newest');
    assert.equal(await Promise.race([oldest, newest]), '8');
  });
});
