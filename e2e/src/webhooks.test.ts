import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, test } from 'node:test';
import { until } from '@pushfleet/contract';
import { type CloudEvent, HTTP } from 'cloudevents';
import { Webhook as Svix } from 'svix';
import { token } from './fleet.ts';
import { bearer, publishClient, type Receipt } from './grpc.ts';
import { behaviours } from './webhook-receivers.ts';
import { bodies, HookManager, HookSite, patienceMs } from './webhooks.ts';

let site: HookSite;
before(async () => {
  site = await HookSite.start({});
});
after(() => site?.stop());

test('what HTTP and gRPC publish is parsed by cloudevents and verified by svix', async () => {
  const { name: binary } = await site.subscribe(behaviours.well, { handshake: 'echo' });
  const { name: structured } = await site.subscribe(behaviours.well, {
    filter: `${binary}/#`,
    handshake: 'cloudevents',
    format: 'structured',
  });
  assert.deepEqual(site.receivers.handshakes.slice(-2), [binary, structured]);
  await site.publish(`${binary}/http`, 'by HTTP');
  const draft = {
    ...{ id: 'an-id', source: '/a/source', type: 'a.type', topic: `${binary}/grpc` },
    ...{ contentType: 'application/json', payload: Buffer.from('{"by":"gRPC"}') },
  };
  await new Promise<Receipt>((resolve, reject) => {
    const client = publishClient(site.fleet.grpc.address);
    client.publish({ draft }, bearer(site.token), (error, receipt) => {
      client.close();
      if (error === null) resolve(receipt);
      else reject(error);
    });
  });
  for (const endpoint of [binary, structured]) {
    const received = await site.arrived(endpoint, 2);
    assert.ok(received.every(({ signed }) => signed));
    const events = received.map(
      ({ headers, body }) => HTTP.toEvent({ headers, body }) as CloudEvent<unknown>,
    );
    const byGrpc = events.find(({ subject }) => subject === `${binary}/grpc`);
    assert.deepEqual(
      { id: byGrpc?.id, source: byGrpc?.source, type: byGrpc?.type, data: byGrpc?.data },
      { id: 'an-id', source: '/a/source', type: 'a.type', data: { by: 'gRPC' } },
    );
    assert.equal(events.find(({ subject }) => subject === `${binary}/http`)?.data, 'by HTTP');
  }
});

test('svix verifies with the secret that creation gave, and with no other', async () => {
  const { name, hook } = await site.subscribe();
  await site.publish(`${name}/a`, 'text');
  const [received] = await site.arrived(name, 1);
  const headers = received?.headers as Record<string, string>;
  const json = await site.subscribe(behaviours.well, { format: 'structured' });
  await site.publish(`${json.name}/a`, 'text');
  const [event] = await site.arrived(json.name, 1);
  const eventHeaders = event?.headers as Record<string, string>;
  new Svix(json.hook.secret).verify(event?.body ?? '', eventHeaders);
  assert.throws(() => new Svix(hook.secret).verify(event?.body ?? '', eventHeaders));
  assert.throws(() => new Svix(json.hook.secret).verify(received?.body ?? '', headers));
});

test('who refuses the handshake gets nothing, and has no subscription', async () => {
  const name = randomUUID();
  const url = site.receivers.add(name, behaviours.well);
  site.receivers.unwilling.add(name);
  const { status } = await site.owner.call('POST', '', { id: name, filter: '#', url, handshake: 'echo' });
  assert.equal(status, 422);
  assert.equal((await site.owner.call('GET', `/${name}`)).status, 404);
});

test('an endpoint that hangs holds back no other', async () => {
  const hanging = await site.subscribe(behaviours.hangs);
  const healthy = await site.subscribe(behaviours.well, { filter: `${hanging.name}/#` });
  const texts = Array.from({ length: 200 }, (_, i) => String(i));
  for (const text of texts) await site.publish(`${hanging.name}/a`, text);
  const received = bodies(await site.arrived(healthy.name, texts.length));
  assert.deepEqual(received.toSorted(), texts.toSorted());
});

test('an endpoint that says 410 is subscribed no more', async () => {
  const { name, hook } = await site.subscribe(behaviours.goneFrom(2));
  await site.publish(`${name}/a`, '1');
  await site.arrived(name, 1);
  await site.publish(`${name}/a`, '2');
  await site.arrived(name, 2);
  const gone = async () => (await site.owner.call('GET', `/${hook.id}`)).status === 404;
  await until(gone, 'the subscription to end', patienceMs);
});

test('deliveries by the right of a revoked subject stop', async () => {
  const sub = randomUUID();
  const theirs = new HookManager(site.fleet, await token({ sub, subscribe: ['#'], manage: true }));
  const name = randomUUID();
  const url = site.receivers.add(name, behaviours.well);
  const hook = await theirs.create({ filter: `${name}/#`, url, handshake: 'none' });
  await site.publish(`${name}/a`, 'before');
  await site.arrived(name, 1);
  const revoked = await fetch(`http://${site.fleet.registry.addresses.http}/v1/revocations`, {
    method: 'POST',
    headers: { authorization: `Bearer ${site.token}`, 'content-type': 'application/json' },
    body: JSON.stringify({ subject: sub }),
  });
  assert.equal(revoked.status, 201);
  const witness = await site.subscribe(behaviours.well, { filter: `${name}/#` });
  const suspended = async () => {
    await site.publish(`${name}/a`, 'after');
    return (await site.owner.done('GET', `/${hook.id}`)).state === 'suspended';
  };
  await until(suspended, 'the subscription to be suspended', patienceMs);
  const before = site.receivers.of(name).length;
  await site.publish(`${name}/a`, 'last');
  await until(
    () => bodies(site.receivers.of(witness.name)).includes('last'),
    'another to have it',
    patienceMs,
  );
  assert.equal(site.receivers.of(name).length, before);
});
