import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
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
  maxBytes: 64 * 1_048_576,
  duplicateWindowMs: 120_000,
};

/** A file of policies as a ConfigMap is mounted: what it holds is exchanged by a symlink. */
class ConfigMap {
  readonly #root = mkdtempSync(join(tmpdir(), 'pushfleet-configmap-'));
  readonly path = join(this.#root, 'policies.json');
  #version = 0;

  constructor(t: TestContext, policies: object) {
    this.set(policies);
    symlinkSync(join('..data', 'policies.json'), this.path);
    t.after(() => rmSync(this.#root, { recursive: true }));
  }

  set(policies: object): void {
    const folder = `..${++this.#version}`;
    mkdirSync(join(this.#root, folder));
    writeFileSync(join(this.#root, folder, 'policies.json'), JSON.stringify(policies));
    symlinkSync(folder, join(this.#root, '..next'));
    renameSync(join(this.#root, '..next'), join(this.#root, '..data'));
    rmSync(join(this.#root, `..${this.#version - 1}`), { recursive: true, force: true });
  }
}

describe('policies and quotas of processes', () => {
  let nats: NatsCluster;
  before(async () => {
    nats = await startNats();
    await migrate({ servers: nats.url, ...stream });
  });
  after(() => nats.stop());

  const start = async (t: TestContext, service: string, policies: ConfigMap): Promise<ServiceProcess> => {
    const process = await startService(service, {
      PUSHFLEET_NATS_URL: nats.url,
      PUSHFLEET_TOKEN_SECRET: secret,
      PUSHFLEET_POLICIES_FILE: policies.path,
      PUSHFLEET_DRAIN_SECONDS: '1',
    });
    t.after(() => process.kill('SIGTERM'));
    return process;
  };
  const startTwo = async (t: TestContext, policies: ConfigMap, other = 'publish') => {
    const both = await Promise.all([start(t, 'publish', policies), start(t, other, policies)]);
    await until(async () => (await instancesKnown(both[0])) === 2, 'the first to know of the second');
    await until(async () => (await instancesKnown(both[1])) === 2, 'the second to know of the first');
    return both;
  };

  const metrics = async ({ addresses }: ServiceProcess) =>
    (await fetch(`http://${addresses.ops}/metrics`)).text();
  const instancesKnown = async (service: ServiceProcess) =>
    Array.from((await metrics(service)).matchAll(/^pushfleet_fleet_instances{.*} (\d+)$/gm)).reduce(
      (sum, [, count]) => sum + Number(count),
      0,
    );

  /** Publishes under a namespace of its own; answers with the problem's members, and the status. */
  const publish = async (
    { addresses }: ServiceProcess,
    ns: string,
    topic: string,
    body: string | Buffer = 'x',
  ): Promise<Message> => {
    const response = await fetch(`http://${addresses.http}/v1/topics/${topic}`, {
      method: 'POST',
      body,
      headers: { authorization: `Bearer ${token({ ns })}` },
    });
    return {
      retryAfter: response.headers.get('retry-after'),
      ...((await response.json()) as object),
      status: response.status,
    };
  };
  /** How many of so many drafts, sent as one batch, were stored. */
  const publishMany = async ({ addresses }: ServiceProcess, ns: string, count: number): Promise<number> => {
    const response = await fetch(`http://${addresses.http}/v1/publish`, {
      method: 'POST',
      body: JSON.stringify(Array.from({ length: count }, (_, i) => ({ topic: `many/${i}`, payload: 'x' }))),
      headers: { authorization: `Bearer ${token({ ns })}`, 'content-type': 'application/json' },
    });
    const results = (await response.json()) as readonly Message[];
    for (const { status, code, retryAfter } of results) {
      assert.ok(status === 201 || (status === 429 && code === 'quota_publish_rate' && retryAfter > 0));
    }
    return results.filter(({ status }) => status === 201).length;
  };

  test('two instances share one publish rate', async (t) => {
    const rate = 50;
    const policies = new ConfigMap(t, { quotas: [{ namespace: 'rated', publishRate: rate }] });
    const both = await startTwo(t, policies);
    const began = performance.now();
    const seconds = () => (performance.now() - began) / 1_000;
    const flood = async (service: ServiceProcess) => {
      let stored = 0;
      while (seconds() < 8) {
        stored += await publishMany(service, 'rated', 100);
        await sleep(50);
      }
      return stored;
    };
    const stored = await Promise.all(both.map(flood));
    const together = stored.reduce((sum, one) => sum + one, 0);
    // A second's worth at once, and the second that it takes to hear of each other, at both.
    assert.ok(together <= rate * seconds() + 4 * rate, `${stored} in ${seconds()} s`);
    assert.ok(Math.min(...stored) >= rate, `each has a share: ${stored}`);
    assert.equal((await publish(both[0], 'free', 'a')).status, 201);
  });

  test('two instances, and those after them, share one store; what goes makes room', async (t) => {
    const kilobyte = Buffer.alloc(1_000);
    const policies = new ConfigMap(t, {
      topics: [{ filter: 'short/#', retention: 1 }],
      quotas: [{ namespace: '*', storedBytes: 12_000 }],
    });
    const [one, two] = await startTwo(t, policies);
    const fill = async (ns: string, topic: string) => {
      let stored = 0;
      while ((await publish(one, ns, topic, kilobyte)).status === 201) stored++;
      return stored;
    };
    assert.equal(await fill('full', 'a'), 9, 'of 1,000 bytes, their texts and what surrounds them');
    const told = /^pushfleet_namespace_stored_bytes{namespace="full"} 10[89]\d{2}$/m;
    await until(async () => told.test(await metrics(two)), 'the other to know');
    const refused = await publish(two, 'full', 'b', kilobyte);
    assert.deepEqual([refused.code, refused.limit], ['quota_stored_bytes', 12_000]);
    await Promise.all([one.kill('SIGTERM'), two.kill('SIGKILL')]);
    const three = await start(t, 'publish', policies);
    assert.equal((await publish(three, 'full', 'a', kilobyte)).code, 'quota_stored_bytes');
    assert.equal((await publish(three, 'short', 'short/a', kilobyte)).status, 201);
    while ((await publish(three, 'short', 'short/a', kilobyte)).status === 201);
    await until(
      async () => (await publish(three, 'short', 'short/a', kilobyte)).status === 201,
      'room again',
    );
  });

  test('a store is about as large as the broker says', async (t) => {
    const policies = new ConfigMap(t, { quotas: [{ namespace: 'weighed', storedBytes: 10_000_000 }] });
    const service = await start(t, 'publish', policies);
    const held = async (): Promise<number> => {
      const answer = await fetch(`${nats.servers[0]?.monitorUrl}/jsz?streams=1`);
      const { account_details } = (await answer.json()) as Message;
      const streams: readonly Message[] = account_details[0].stream_detail;
      return streams.find(({ name }) => name.startsWith('pushfleet_log_')).state.bytes;
    };
    const before = await held();
    for (const size of [0, 10, 100, 1_000, 10_000]) {
      for (let i = 0; i < 10; i++) {
        assert.equal(
          (await publish(service, 'weighed', `some/topic/${size}`, Buffer.alloc(size))).status,
          201,
        );
      }
    }
    const weighed = (await held()) - before;
    const [, said] = /^pushfleet_namespace_stored_bytes{.*} (\d+)$/m.exec(await metrics(service)) ?? [];
    assert.ok(Math.abs(Number(said) - weighed) < weighed / 20, `${said} is said, ${weighed} weighed`);
  });

  test('a file that changes holds at once, and a wrong one does not', async (t) => {
    const limit = (maxBytes: unknown) => ({ topics: [{ filter: 'small/#', maxBytes, rate: 1_000 }] });
    const policies = new ConfigMap(t, limit(10));
    const service = await start(t, 'publish', policies);
    assert.equal((await publish(service, 'any', 'small/a', 'x'.repeat(10))).status, 201);
    const refused = await publish(service, 'any', 'small/a', 'x'.repeat(11));
    assert.deepEqual([refused.status, refused.code, refused.filter], [413, 'payload_too_large', 'small/#']);
    assert.equal((await publish(service, 'any', 'large/a', 'x'.repeat(11))).status, 201);
    policies.set(limit('ten'));
    await until(() => service.logs().includes('topics[0].maxBytes is'), 'the complaint');
    assert.equal((await publish(service, 'any', 'small/a', 'x'.repeat(11))).status, 413);
    policies.set(limit(11));
    await until(
      async () => (await publish(service, 'any', 'small/a', 'x'.repeat(11))).status === 201,
      'the new policy',
    );
    assert.equal((await publish(service, 'any', 'small/a', 'x'.repeat(12))).status, 413);
    assert.match(await metrics(service), /^pushfleet_policies_reloads_total{outcome="refused"} 1$/m);
  });

  test('a wrong file at the start stops the service, and is named', async (t) => {
    const policies = new ConfigMap(t, { topics: [{ filter: 'a', rate: 'fast' }] });
    await assert.rejects(start(t, 'publish', policies), /topics\[0\]\.rate is "fast"/);
  });

  /** A Subscribe stream: what it was told, and how it ended. */
  const subscribe = (t: TestContext, client: DynamicClient, request: object, ns: string) => {
    const seen: { readonly messages: Message[]; error?: ServiceError } = { messages: [] };
    const call = client.subscribe(request, authorized({ ns }));
    call.on('data', (message: Message) => seen.messages.push(message));
    call.on('error', (error: ServiceError) => {
      seen.error = error;
    });
    t.after(() => call.cancel());
    return { seen, call };
  };

  test('an edge and Subscribe share the connections and subscriptions of a namespace', async (t) => {
    const policies = new ConfigMap(t, { quotas: [{ namespace: 'small', connections: 2, subscriptions: 5 }] });
    const [publisher, edge] = await startTwo(t, policies, 'edge-sse');
    const client = publishClient(publisher.addresses.grpc as string);
    t.after(() => client.close());
    const sse = (topics: string) =>
      fetch(`http://${edge.addresses.http}/sse?${topics}`, {
        headers: { authorization: `Bearer ${token({ ns: 'small' })}` },
      });
    const refusalOf = async (topics: string) => {
      const response = await sse(topics);
      if (response.status === 200) await response.body?.cancel();
      return response.status === 200 ? undefined : ((await response.json()) as Message).code;
    };
    const first = subscribe(t, client, { filters: ['a', 'b', 'c'] }, 'small');
    await until(() => first.seen.messages.length === 1, 'the first to stand');
    await until(
      async () => (await refusalOf('topic=a&topic=b&topic=c')) === 'quota_subscriptions',
      'the edge to know',
    );
    const second = await sse('topic=a&topic=b');
    assert.equal(second.status, 200);
    await until(async () => (await refusalOf('topic=a')) === 'quota_connections', 'the edge to be full');
    const refusal = async () => {
      const { seen, call } = subscribe(t, client, { filters: ['a'] }, 'small');
      await until(() => seen.error !== undefined || seen.messages.length > 0, 'an answer');
      call.cancel();
      return seen.error?.metadata.get('pushfleet-code')[0];
    };
    await until(async () => (await refusal()) === 'quota_connections', 'publish to know');
    first.call.cancel();
    await until(async () => (await refusal()) === undefined, 'room again');
    await second.body?.cancel();
  });

  test('who comes back after the retention of a topic is told of a gap', async (t) => {
    const policies = new ConfigMap(t, { topics: [{ filter: 'brief/#', retention: 1 }] });
    const service = await start(t, 'publish', policies);
    const client = publishClient(service.addresses.grpc as string);
    t.after(() => client.close());
    const { cursor } = await publish(service, 'any', 'brief/a');
    await publish(service, 'any', 'brief/a');
    await publish(service, 'any', 'long/a');
    const resume = async (filter: string) => {
      const { seen, call } = subscribe(t, client, { filters: [filter], after: cursor }, 'any');
      await until(() => seen.messages.some(({ event }) => event !== undefined), 'an event');
      call.cancel();
      return seen.messages.find(({ event }) => event !== undefined).event;
    };
    // A page of the log that was read for others stays in memory for ten seconds.
    await until(async () => (await resume('brief/#')) === 'gap', 'a gap');
    assert.equal(await resume('long/#'), 'delivery');
  });

  test('a refusal of a quota has the code and the time to wait over gRPC too', async (t) => {
    const policies = new ConfigMap(t, { quotas: [{ namespace: 'one', publishRate: 1 }] });
    const service = await start(t, 'publish', policies);
    const client = publishClient(service.addresses.grpc as string);
    t.after(() => client.close());
    const once = () =>
      new Promise<ServiceError | null>((resolve) => {
        const draft = { topic: 'a', payload: Buffer.from('x') };
        client.publish({ draft }, authorized({ ns: 'one' }), (error: ServiceError | null) => resolve(error));
      });
    const errors: (ServiceError | null)[] = [];
    await until(async () => {
      errors.push(await once());
      return errors.at(-1) !== null;
    }, 'a refusal');
    assert.equal(errors[0], null);
    const refused = errors.at(-1) as ServiceError;
    assert.equal(refused.code, status.RESOURCE_EXHAUSTED);
    assert.deepEqual(refused.metadata.get('pushfleet-code'), ['quota_publish_rate']);
    assert.ok(Number(refused.metadata.get('pushfleet-retry-after-ms')[0]) <= 1_000);
  });
});
