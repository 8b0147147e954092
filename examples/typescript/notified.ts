// Takes notifications of HTTP SUBSCRIBE, and deliveries of webhooks without a look at their signatures; prints each once.
// Usage: notified.ts [port]
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

const taken = new Set<string>();

const server = createServer(async (request, response) => {
  const body = Buffer.concat(await request.toArray()).toString();
  const handshake = request.headers['x-hook-secret'];
  if (handshake !== undefined) {
    // Whoever sends it back wants to be called. Do so only for what you have subscribed to.
    response.writeHead(200, { 'X-Hook-Secret': handshake }).end();
    return;
  }
  const { 'webhook-id': id = '', 'pushfleet-topic': topic, seq = '-' } = request.headers;
  // A delivery whose answer was lost comes again, with its id and its SEQ.
  if (!taken.has(String(id))) console.log(`${request.method} ${topic} SEQ ${seq}: ${body}`);
  taken.add(String(id));
  response.writeHead(200).end();
});
server.listen(Number(process.argv[2] ?? 9000), '127.0.0.1', () => {
  console.log(`listening on ${(server.address() as AddressInfo).port}`);
});
