import assert from 'node:assert/strict';
import { once } from 'node:events';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { after, before, describe, test } from 'node:test';
import { type ServiceError, status } from '@grpc/grpc-js';
import { migrate } from '@pushfleet/bus';
import { type NatsCluster, type ServiceProcess, startNats, startService, until } from '@pushfleet/contract';
import { authorized, type DynamicClient, publishClient } from './grpc/testing.ts';
import { secret, token } from './testing.ts';

// biome-ignore lint/suspicious/noExplicitAny: a client made at run time has no types
type Message = any;

const stream = {
  shards: 1,
  replicas: 1,
  maxAgeMs: 3_600_000,
  maxBytes: 8 * 1_048_576,
  duplicateWindowMs: 120_000,
};

async function start(
  nats: NatsCluster,
): Promise<{ service: ServiceProcess; client: DynamicClient; url: string }> {
  const service = await startService('publish', {
    PUSHFLEET_NATS_URL: nats.url,
    PUSHFLEET_TOKEN_SECRET: secret,
  });
  const { http, grpc } = service.addresses;
  return { service, client: publishClient(grpc as string), url: `http://${http}` };
}

const post = (url: string, body: string | Buffer, id: string): Promise<Response> =>
  fetch(url, {
    method: 'POST',
    body,
    headers: { authorization: `Bearer ${token()}`, 'idempotency-key': id },
  });

function publish(client: DynamicClient, draft: object): Promise<Message> {
  return new Promise((resolve, reject) => {
    client.publish({ draft }, authorized(), (error: ServiceError | null, response: Message) =>
      error === null ? resolve(response) : reject(error),
    );
  });
}

describe('publish on a real NATS', () => {
  let nats: NatsCluster;
  before(async () => {
    nats = await startNats();
    await migrate({ servers: nats.url, ...stream });
  });
  after(() => nats.stop());

  test('what one API takes comes out of Subscribe, over any instance', async (t) => {
    const [one, other] = await Promise.all([start(nats), start(nats)]);
    t.after(() => Promise.all([one.service.kill('SIGTERM'), other.service.kill('SIGTERM')]));
    const messages: Message[] = [];
    const call = other.client.subscribe({ filters: ['a/#'] }, authorized());
    call.on('data', (message: Message) => messages.push(message)).on('error', () => {});
    await until(() => messages.length === 1, 'the subscription to stand');
    const first = await post(`${one.url}/v1/topics/a//b/`, 'over HTTP', 'h');
    assert.equal(first.status, 201);
    assert.equal(
      ((await (await post(`${one.url}/v1/topics/a//b/`, 'over HTTP', 'h')).json()) as Message).duplicate,
      true,
    );
    await publish(one.client, { id: 'g', topic: 'a', payload: Buffer.from('over gRPC') });
    await until(() => messages.length === 3, 'both publications');
    assert.deepEqual(
      messages
        .slice(1)
        .map(({ delivery }) => [delivery.publication.topic, delivery.publication.payload.toString()]),
      [
        ['a//b/', 'over HTTP'],
        ['a', 'over gRPC'],
      ],
    );
    const metrics = await (await fetch(`http://${other.service.addresses.ops}/metrics`)).text();
    assert.match(metrics, /^pushfleet_hub_feeds 1$/m);
    assert.match(metrics, /^pushfleet_hub_filters 1$/m);
    assert.match(metrics, /^pushfleet_publish_subscriptions 1$/m);
    assert.match(metrics, /^pushfleet_log_bytes\{shard="0"\} \d+$/m);
    assert.match(metrics, /^pushfleet_log_limit_bytes\{shard="0"\} [1-9]\d*$/m);
    assert.match(metrics, /^pushfleet_log_replicas\{shard="0"\} 1$/m);
    assert.match(metrics, /^pushfleet_log_replicas_current\{shard="0"\} 1$/m);
    one.client.close();
    other.client.close();
  });

  test('SIGTERM: what was accepted is stored and answered, and nothing acknowledged is missing', async (t) => {
    const { service, client, url } = await start(nats);
    const { cursor } = (await publish(client, { topic: 'drain/start' })).receipt;
    const slow = httpRequest(`${url}/v1/topics/drain/http`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token()}`, 'content-length': '2', 'idempotency-key': 'slow' },
    });
    slow.write('a');
    const acknowledged = new Set<string>();
    const call = client.publishStream(authorized());
    call.on('data', ({ result }: Message) => result.receipt && acknowledged.add(result.receipt.id));
    call.on('error', () => {});
    const ended = new Promise<ServiceError>((resolve) => call.on('status', resolve));
    let over = false;
    void ended.then(() => {
      over = true;
    });
    let sent = 0;
    const sending = (async () => {
      while (!over) {
        const id = String(sent++);
        const ok = call.write({
          correlation: sent,
          draft: { id, topic: `drain/${sent % 3}`, payload: Buffer.from(id) },
        });
        if (!ok) await Promise.race([once(call, 'drain'), ended]);
        else if (sent % 50 === 0) await new Promise((resolve) => setImmediate(resolve));
      }
    })();
    await until(() => acknowledged.size > 500, 'the stream to flow');
    service.signal('SIGTERM');
    const end = await ended;
    assert.deepEqual([end.code, end.metadata.get('pushfleet-code')], [status.UNAVAILABLE, ['draining']]);
    await sending;
    slow.end('b');
    const [response] = (await once(slow, 'response')) as [IncomingMessage];
    assert.equal(response.statusCode, 201);
    response.resume();
    assert.equal(await service.kill('SIGTERM', 20_000).catch(() => null), 0);
    client.close();

    const next = await start(nats);
    t.after(() => next.service.kill('SIGTERM'));
    const stored: string[] = [];
    const replay = next.client.subscribe({ filters: ['drain/#'], after: cursor }, authorized());
    replay.on('error', () => {});
    replay.on('data', ({ delivery }: Message) => delivery && stored.push(delivery.publication.id));
    await until(
      () => stored.includes('slow') && [...acknowledged].every((id) => stored.includes(id)),
      'all that was acknowledged',
    );
    assert.equal(new Set(stored).size, stored.length);
    next.client.close();
  });

  test('a full log is 507 and RESOURCE_EXHAUSTED, and nothing more is acknowledged', async (t) => {
    const { service, client, url } = await start(nats);
    t.after(() => service.kill('SIGTERM'));
    let answer: Response;
    let count = 0;
    do {
      answer = await post(`${url}/v1/topics/full`, Buffer.alloc(900_000), `full-${count++}`);
    } while (answer.status === 201 && count < 50);
    assert.equal(answer.status, 507);
    assert.equal(((await answer.json()) as Message).code, 'storage_full');
    assert.ok(Number(answer.headers.get('retry-after')) >= 1);
    const error = await publish(client, { topic: 'full', payload: Buffer.alloc(900_000) }).catch(
      (thrown) => thrown,
    );
    assert.deepEqual(
      [error.code, error.metadata.get('pushfleet-code')],
      [status.RESOURCE_EXHAUSTED, ['storage_full']],
    );
    client.close();
  });
});

test('NATS away: 503 and UNAVAILABLE with when to come back, not ready; it recovers by itself', async (t) => {
  const nats = await startNats();
  t.after(() => nats.stop());
  await migrate({ servers: nats.url, ...stream });
  const { service, client, url } = await start(nats);
  t.after(() => service.kill('SIGTERM'));
  const [server] = nats.servers;
  await server?.kill('SIGKILL');
  const ready = async () => (await fetch(`http://${service.addresses.ops}/readyz`)).status;
  await until(async () => (await ready()) === 503, 'the service to be unready');
  const [http, grpc] = await Promise.all([
    post(`${url}/v1/topics/a`, 'x', '1'),
    publish(client, { topic: 'b' }).catch((error: ServiceError) => error),
  ]);
  assert.equal(http.status, 503);
  assert.equal(((await http.json()) as Message).code, 'unavailable');
  assert.ok(Number(http.headers.get('retry-after')) >= 1);
  assert.equal(grpc.code, status.UNAVAILABLE);
  assert.ok(Number(grpc.metadata.get('pushfleet-retry-after-ms')[0]) > 0);
  await server?.restart();
  await until(async () => (await ready()) === 200, 'the service to be ready again');
  assert.equal((await post(`${url}/v1/topics/a`, 'x', '2')).status, 201);
  client.close();
});
