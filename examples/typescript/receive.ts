// Takes deliveries of webhooks and prints each once. Usage: receive.ts [port]
import { createServer, type IncomingHttpHeaders } from 'node:http';
import { Webhook } from 'standardwebhooks';

const webhook = new Webhook(process.env.PUSHFLEET_WEBHOOK_SECRET ?? '');
// A delivery whose answer was lost comes again with its id. Keep ids for days, where you keep what they brought.
const taken = new Set<string>();

const server = createServer(async (request, response) => {
  const body = Buffer.concat(await request.toArray()).toString();
  const headers = request.headers as IncomingHttpHeaders & Record<string, string>;
  const handshake = headers['x-hook-secret'];
  if (handshake !== undefined) {
    response.writeHead(204, { 'X-Hook-Secret': handshake }).end();
    return;
  }
  try {
    webhook.verify(body, headers, { jsonParse: false });
  } catch (error) {
    response.writeHead(401).end((error as Error).message);
    return;
  }
  const id = headers['webhook-id'] as string;
  if (!taken.has(id)) console.log(`${headers['pushfleet-topic']} ${body}`);
  taken.add(id);
  // Only what was kept is confirmed: without an answer of 2xx it comes again.
  response.writeHead(204).end();
});
server.listen(Number(process.argv[2] ?? 9000), '127.0.0.1', () => console.log('listening'));
