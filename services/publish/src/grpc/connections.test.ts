import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type ClientHttp2Session, connect } from 'node:http2';
import { test } from 'node:test';
import { until } from '@pushfleet/contract';
import { startGrpc } from './testing.ts';

test('so many connections are taken; one more is closed, and there is room when one has gone', async (t) => {
  const { api, stop } = await startGrpc({ connections: 3 });
  const sessions: ClientHttp2Session[] = [];
  t.after(async () => {
    for (const session of sessions) session.destroy();
    await stop();
  });
  /** Whether the server speaks to a new connection. */
  const taken = async (): Promise<boolean> => {
    const session = connect(`http://127.0.0.1:${api.port}`);
    sessions.push(session.on('error', () => {}));
    const answered = once(session, 'remoteSettings').then(() => true);
    return Promise.race([answered, once(session, 'close').then(() => false)]);
  };
  assert.deepEqual([await taken(), await taken(), await taken(), await taken()], [true, true, true, false]);
  sessions[0]?.destroy();
  await until(taken, 'room for another connection');
});
