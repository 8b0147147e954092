// The reference: the least that a Node process can do to write server-sent events. No tokens, no topics
// with wildcards, no ids, no resuming, no bound on what a slow client queues.
import { createServer } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';

const listeners = new Map<string, Set<Socket>>();

function subscribe(topic: string, socket: Socket): void {
  const set = listeners.get(topic) ?? new Set();
  listeners.set(topic, set.add(socket));
  socket.on('close', () => set.delete(socket));
}

/** One event in one HTTP chunk, made once and written to every socket as it is. */
function chunkOf(payload: string): Buffer {
  const event = `data: ${payload}\n\n`;
  return Buffer.from(`${Buffer.byteLength(event).toString(16)}\r\n${event}\r\n`);
}

const server = createServer((request, response) => {
  const topic = request.url as string;
  if (request.method === 'GET') {
    response.writeHead(200, { 'Content-Type': 'text/event-stream' }).flushHeaders();
    subscribe(topic, request.socket);
    return;
  }
  let body = '';
  request.setEncoding('utf8').on('data', (text: string) => {
    body += text;
  });
  request.on('end', () => {
    const chunk = chunkOf(body);
    for (const socket of listeners.get(topic) ?? []) socket.write(chunk);
    response.writeHead(204).end();
  });
});

server.keepAliveTimeout = 0; // the publisher's connection stays through quiet minutes
server.listen(0, '127.0.0.1', () => process.send?.((server.address() as AddressInfo).port));
process.on('disconnect', () => process.exit());
