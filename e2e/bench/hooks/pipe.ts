// The reference: the least that a Node process can do with the same libraries. A pull consumer of nats.js, an HMAC,
// a POST by undici, an acknowledgement. No subscriptions, no retries, no limits of an endpoint, no log of attempts;
// who does not answer holds a place for ever, and addresses are called as they are.
import { createHmac } from 'node:crypto';
import { type JsMsg, jetstream } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import { Agent } from 'undici';
import type { PipeOrder } from './bare-pipe.ts';

const secret = Buffer.alloc(32, 7);
const connectionsEach = 10;
const agent = new Agent({ connections: connectionsEach });
let routes: readonly (readonly URL[])[] = [];

async function post(url: URL, id: string, body: Uint8Array): Promise<void> {
  const timestamp = String(Math.floor(Date.now() / 1000));
  const signature = createHmac('sha256', secret).update(`${id}.${timestamp}.`).update(body).digest('base64');
  const answer = await agent.request({
    origin: url.origin,
    path: url.pathname,
    method: 'POST',
    headers: {
      'content-type': 'text/plain',
      'webhook-id': id,
      'webhook-timestamp': timestamp,
      'webhook-signature': `v1,${signature}`,
    },
    body,
  });
  await answer.body.dump();
}

async function deliver(message: JsMsg): Promise<void> {
  const topic = Number(message.subject.slice(message.subject.indexOf('.') + 1));
  await Promise.all((routes[topic] ?? []).map((url) => post(url, `msg_${message.seq}`, message.data)));
  message.ack();
}

async function open({ servers, stream, consumer }: Extract<PipeOrder, { kind: 'open' }>): Promise<void> {
  const nc = await connect({ servers });
  const pulled = await jetstream(nc).consumers.get(stream, consumer);
  await pulled.consume({ max_messages: 1_000, callback: (message) => void deliver(message) });
}

process.on('message', async (order: PipeOrder) => {
  if (order.kind === 'open') await open(order);
  else routes = order.urls.map((urls) => urls.map((url) => new URL(url)));
  process.send?.(order.kind);
});
process.on('disconnect', () => process.exit());
