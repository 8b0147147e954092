// The reference: the least that a Node process can do to write server-sent events. No tokens, no topics
// with wildcards, no ids, no resuming, no bound on what a slow client queues.
import type { Socket } from 'node:net';
import { Listeners, listen } from './listen.ts';

const listeners = new Listeners<Socket>();

/** One event in one HTTP chunk, made once and written to every socket as it is. */
function chunkOf(payload: string): Buffer {
  const event = `data: ${payload}\n\n`;
  return Buffer.from(`${Buffer.byteLength(event).toString(16)}\r\n${event}\r\n`);
}

listen(
  (path, payload) => {
    const chunk = chunkOf(payload);
    for (const socket of listeners.of(path)) socket.write(chunk);
  },
  ({ socket, url = '/' }, response) => {
    response.writeHead(200, { 'Content-Type': 'text/event-stream' }).flushHeaders();
    listeners.add(url, socket);
    socket.on('close', () => listeners.remove(url, socket));
  },
);
