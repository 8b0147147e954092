// The reference for WebSocket: what a page of code with ws does. No tokens, no topics with wildcards, no cursors, no
// resuming, no heartbeats, no bound on what a slow client queues.
import { type WebSocket, WebSocketServer } from 'ws';
import { Listeners, listen } from './listen.ts';

const listeners = new Listeners<WebSocket>();

const server = listen((path, payload) => {
  const bytes = Buffer.from(payload);
  for (const client of listeners.of(path)) client.send(bytes, { binary: false });
});

new WebSocketServer({ server, perMessageDeflate: false }).on('connection', (client, { url = '/' }) => {
  listeners.add(url, client);
  client.on('error', () => {});
  client.on('close', () => listeners.remove(url, client));
});
