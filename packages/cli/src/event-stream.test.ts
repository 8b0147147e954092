import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { follow } from './event-stream.ts';

test('an event is on one line, and keeps what JSON.parse would lose', async (t) => {
  const server = createServer((_, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write('id: 1\ndata: {"subject":"a","data":{\ndata:  "n": 12345678901234567890.10}}\n\n');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const url = new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}/sse`);
  for await (const event of follow({ url, token: async () => 'x', after: undefined })) {
    if (event.kind !== 'publication') continue;
    assert.equal(event.json, '{"subject":"a","data":{  "n": 12345678901234567890.10}}');
    assert.equal(event.value.subject, 'a');
    break;
  }
});
