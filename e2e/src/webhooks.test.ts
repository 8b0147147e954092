import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { until } from '@pushfleet/contract';
import { type CloudEvent, HTTP } from 'cloudevents';
import { Webhook as Svix } from 'svix';
import { Fleet, token } from './fleet.ts';
import { bearer, publishClient, type Receipt } from './grpc.ts';
import { openSse, publish } from './stream.ts';
import { type Behaviour, behaviours, type Received, Receivers } from './webhook-receivers.ts';
import { HookManager, webhookEnv } from './webhooks.ts';

const patienceMs = 30_000;

let fleet: Fleet;
let receivers: Receivers;
let manager: string;
let owner: HookManager;

async function start(env: Readonly<Record<string, string>>): Promise<void> {
  fleet = await Fleet.start({ workers: 2, env: { ...webhookEnv, ...env } });
  receivers = await Receivers.open();
  manager = await token({ sub: 'manager', publish: ['#'], subscribe: ['#', '$hooks/#'], manage: true });
  owner = new HookManager(fleet, manager);
}

async function stop(): Promise<void> {
  receivers?.close();
  await fleet?.stop();
}

/** An endpoint that is subscribed to a topic of its own, and trusted with the secret. */
async function subscribe(behave: Behaviour = behaviours.well, wish: object = {}) {
  const name = randomUUID();
  const url = receivers.add(name, behave);
  const hook = await owner.create({ filter: `${name}/#`, url, handshake: 'none', ...wish });
  receivers.trust(name, hook.secret);
  return { name, hook };
}

const publishText = async (topic: string, text: string): Promise<void> => {
  assert.equal(await publish(fleet.http.address, topic, manager, text), 201);
};

async function arrived(endpoint: string, count: number): Promise<Received[]> {
  await until(() => receivers.of(endpoint).length >= count, `${count} deliveries to ${endpoint}`, patienceMs);
  return receivers.of(endpoint);
}

const bodies = (received: readonly Received[]): string[] => received.map(({ body }) => body);

describe('webhooks', () => {
  before(() => start({ PUSHFLEET_WEBHOOK_RETRY: '1s,1s' }));
  after(stop);

  test('what HTTP and gRPC publish is parsed by cloudevents and verified by svix', async () => {
    const { name: binary } = await subscribe(behaviours.well, { handshake: 'echo' });
    const { name: structured } = await subscribe(behaviours.well, {
      filter: `${binary}/#`,
      handshake: 'cloudevents',
      format: 'structured',
    });
    assert.deepEqual(receivers.handshakes.slice(-2), [binary, structured]);
    await publishText(`${binary}/http`, 'by HTTP');
    const draft = {
      ...{ id: 'an id', source: 'a source', type: 'a.type', topic: `${binary}/grpc` },
      ...{ contentType: 'application/json', payload: Buffer.from('{"by":"gRPC"}') },
    };
    await new Promise<Receipt>((resolve, reject) => {
      const client = publishClient(fleet.grpc.address);
      client.publish({ draft }, bearer(manager), (error, receipt) => {
        client.close();
        if (error === null) resolve(receipt);
        else reject(error);
      });
    });
    for (const endpoint of [binary, structured]) {
      const received = await arrived(endpoint, 2);
      assert.ok(received.every(({ signed }) => signed));
      const events = received.map(
        ({ headers, body }) => HTTP.toEvent({ headers, body }) as CloudEvent<unknown>,
      );
      const byGrpc = events.find(({ subject }) => subject === `${binary}/grpc`);
      assert.deepEqual(
        { id: byGrpc?.id, source: byGrpc?.source, type: byGrpc?.type, data: byGrpc?.data },
        { id: 'an id', source: 'a source', type: 'a.type', data: { by: 'gRPC' } },
      );
      assert.equal(events.find(({ subject }) => subject === `${binary}/http`)?.data, 'by HTTP');
    }
  });

  test('svix verifies with the secret that creation gave, and with no other', async () => {
    const { name, hook } = await subscribe();
    await publishText(`${name}/a`, 'text');
    const [received] = await arrived(name, 1);
    const headers = received?.headers as Record<string, string>;
    const json = await subscribe(behaviours.well, { format: 'structured' });
    await publishText(`${json.name}/a`, 'text');
    const [event] = await arrived(json.name, 1);
    const eventHeaders = event?.headers as Record<string, string>;
    assert.ok(new Svix(json.hook.secret).verify(event?.body ?? '', eventHeaders));
    assert.throws(() => new Svix(hook.secret).verify(event?.body ?? '', eventHeaders));
    assert.throws(() => new Svix(json.hook.secret).verify(received?.body ?? '', headers));
  });

  test('who refuses the handshake gets nothing, and has no subscription', async () => {
    const name = randomUUID();
    const url = receivers.add(name, behaviours.well);
    receivers.unwilling.add(name);
    const { status } = await owner.call('POST', '', { id: name, filter: '#', url, handshake: 'echo' });
    assert.equal(status, 422);
    assert.equal((await owner.call('GET', `/${name}`)).status, 404);
  });

  test('paused, it queues; resumed, it gets all of it in order', async () => {
    const { name, hook } = await subscribe(behaviours.well, { ordered: true });
    await publishText(`${name}/a`, '0');
    await arrived(name, 1);
    await owner.done('POST', `/${hook.id}/pause`);
    for (const text of ['1', '2', '3']) await publishText(`${name}/a`, text);
    const queued = async () => (await owner.done('GET', `/${hook.id}`)).backlog.queued === 3;
    await until(queued, 'three to be queued', patienceMs);
    assert.deepEqual(bodies(receivers.of(name)), ['0']);
    await owner.done('POST', `/${hook.id}/resume`);
    assert.deepEqual(bodies(await arrived(name, 4)), ['0', '1', '2', '3']);
  });

  test('while a secret rotates both verify, and afterwards the new one alone', async () => {
    const { name, hook } = await subscribe();
    const { secret } = await owner.done('POST', `/${hook.id}/rotate-secret`, { overlap: 3_600 });
    assert.notEqual(secret, hook.secret);
    const signedBy = async (text: string, ...secrets: string[]): Promise<boolean[]> => {
      const found: boolean[] = [];
      for (const one of secrets) {
        receivers.trust(name, one);
        const count = receivers.of(name).length;
        await publishText(`${name}/a`, text);
        found.push((await arrived(name, count + 1)).at(-1)?.signed ?? false);
      }
      return found;
    };
    const both = async () => (await signedBy('during', hook.secret, secret)).every(Boolean);
    await until(both, 'deliveries to carry both signatures', patienceMs);
    const last = await owner.done('POST', `/${hook.id}/rotate-secret`, { overlap: 0 });
    const alone = async () => {
      const [newest, older, oldest] = await signedBy('after', last.secret, secret, hook.secret);
      return newest === true && older === false && oldest === false;
    };
    await until(alone, 'deliveries to carry the new signature alone', patienceMs);
  });

  test('given up, it is a dead letter that can be delivered again', async () => {
    const { name, hook } = await subscribe(() => ({ status: 500, body: 'no' }));
    await publishText(`${name}/a`, 'late');
    const letters = async () =>
      (
        await owner.done<{ deadLetters: { letter: string; attempts: number }[] }>(
          'GET',
          `/${hook.id}/dead-letters`,
        )
      ).deadLetters;
    await until(async () => (await letters()).length === 1, 'a dead letter', patienceMs);
    const [letter] = await letters();
    assert.equal(letter?.attempts, 3);
    const { attempts } = await owner.done<{ attempts: { status: number; attempt: number }[] }>(
      'GET',
      `/${hook.id}/attempts`,
    );
    assert.deepEqual(
      attempts.map(({ status, attempt }) => [status, attempt]),
      [
        [500, 3],
        [500, 2],
        [500, 1],
      ],
    );
    receivers.change(name, behaviours.well);
    await owner.done('POST', `/${hook.id}/dead-letters/${letter?.letter}/redeliver`);
    const received = await arrived(name, 4);
    assert.equal(received.at(-1)?.status, 200);
    assert.equal(new Set(received.map(({ id }) => id)).size, 1);
    await until(async () => (await letters()).length === 0, 'the dead letter to be gone', patienceMs);
  });

  test('replayed, it comes again with the same webhook-id', async () => {
    const { name, hook } = await subscribe(behaviours.well, { ordered: true });
    const since = new Date().toISOString();
    for (const text of ['1', '2']) await publishText(`${name}/a`, text);
    await arrived(name, 2);
    await owner.done('POST', `/${hook.id}/replay`, { since });
    const received = await arrived(name, 4);
    assert.deepEqual(bodies(received), ['1', '2', '1', '2']);
    assert.deepEqual(
      received.slice(2).map(({ id }) => id),
      received.slice(0, 2).map(({ id }) => id),
    );
  });

  test('a topic that is deleted takes what is pending of it along', async () => {
    const { name, hook } = await subscribe(behaviours.well, { ordered: true });
    await owner.done('POST', `/${hook.id}/pause`);
    for (const [topic, text] of [
      ['gone', '1'],
      ['kept', '2'],
      ['gone', '3'],
    ]) {
      await publishText(`${name}/${topic}`, text as string);
    }
    const headers = { authorization: `Bearer ${manager}` };
    const deleted = await fetch(`http://${fleet.http.address}/v1/topics/${name}/gone`, {
      method: 'DELETE',
      headers,
    });
    assert.ok(deleted.ok, `${deleted.status}`);
    await owner.done('POST', `/${hook.id}/resume`);
    await publishText(`${name}/gone`, '4');
    assert.deepEqual(bodies(await arrived(name, 2)), ['2', '4']);
  });

  test('an endpoint that hangs holds back no other', async () => {
    const hanging = await subscribe(behaviours.hangs);
    const healthy = await subscribe(behaviours.well, { filter: `${hanging.name}/#` });
    const texts = Array.from({ length: 200 }, (_, i) => String(i));
    for (const text of texts) await publishText(`${hanging.name}/a`, text);
    const received = bodies(await arrived(healthy.name, texts.length));
    assert.deepEqual(received.toSorted(), texts.toSorted());
  });

  test('an endpoint that says 410 is subscribed no more', async () => {
    const { name, hook } = await subscribe(behaviours.goneFrom(2));
    await publishText(`${name}/a`, '1');
    await arrived(name, 1);
    await publishText(`${name}/a`, '2');
    await arrived(name, 2);
    const gone = async () => (await owner.call('GET', `/${hook.id}`)).status === 404;
    await until(gone, 'the subscription to end', patienceMs);
  });

  test('deliveries by the right of a revoked subject stop', async () => {
    const sub = randomUUID();
    const theirs = new HookManager(fleet, await token({ sub, subscribe: ['#'], manage: true }));
    const name = randomUUID();
    const url = receivers.add(name, behaviours.well);
    const hook = await theirs.create({ filter: `${name}/#`, url, handshake: 'none' });
    await publishText(`${name}/a`, 'before');
    await arrived(name, 1);
    const revoked = await fetch(`http://${fleet.registry.addresses.http}/v1/revocations`, {
      method: 'POST',
      headers: { authorization: `Bearer ${manager}`, 'content-type': 'application/json' },
      body: JSON.stringify({ subject: sub }),
    });
    assert.equal(revoked.status, 201);
    const witness = await subscribe(behaviours.well, { filter: `${name}/#` });
    const suspended = async () => {
      await publishText(`${name}/a`, 'after');
      return (await owner.done('GET', `/${hook.id}`)).state === 'suspended';
    };
    await until(suspended, 'the subscription to be suspended', patienceMs);
    const before = receivers.of(name).length;
    await publishText(`${name}/a`, 'last');
    await until(() => bodies(receivers.of(witness.name)).includes('last'), 'another to have it', patienceMs);
    assert.equal(receivers.of(name).length, before);
  });
});

describe('a subscription that fails for too long', () => {
  before(() =>
    start({ PUSHFLEET_WEBHOOK_RETRY: '1s,1s,1s,1s,1s,1s,1s,1s', PUSHFLEET_WEBHOOK_SUSPEND_AFTER: '2s' }),
  );
  after(stop);

  test('is suspended, which $hooks tells; resumed, it gets what it missed', async () => {
    const { name, hook } = await subscribe(() => ({ status: 503 }), { ordered: true });
    const news = await openSse(fleet.sse.address, `$hooks/${hook.id}`, manager);
    await publishText(`${name}/a`, '1');
    const suspended = async () => (await owner.done('GET', `/${hook.id}`)).state === 'suspended';
    await until(suspended, 'the subscription to be suspended', patienceMs);
    await until(() => news.text().includes('pushfleet.hook.suspended'), 'the news of it', patienceMs);
    news.close();
    await publishText(`${name}/a`, '2');
    receivers.change(name, behaviours.well);
    await owner.done('POST', `/${hook.id}/resume`);
    const accepted = () =>
      receivers
        .of(name)
        .filter(({ status }) => status === 200)
        .map(({ body }) => body);
    await until(() => accepted().includes('2'), 'what was published meanwhile', patienceMs);
    assert.deepEqual(accepted(), ['1', '2']);
  });
});
