import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Packet } from 'mqtt-packet';
import type { Site } from './site.ts';
import type { Vault } from './trespass.ts';
import { request } from './ways-http.ts';
import { connectPacket, MqttVisit } from './ways-mqtt.ts';

// Who may come in, and shows what was given to somebody else: cursors, ids of sessions and subscriptions, tickets.

const everything = { publish: ['#'], subscribe: ['#'], presence: ['#'], manage: true } as const;

/** Of the same namespace without rights to the vault, and of another with rights to everything. */
async function others(site: Site): Promise<readonly (readonly [string, string])[]> {
  return [
    ['another subject', await site.token({ ns: 'vault', sub: 'neighbour', subscribe: ['public/#'] })],
    ['another namespace', await site.token({ ns: 'elsewhere', sub: 'owner', ...everything })],
  ];
}

export function borrowed(site: () => Site, vault: () => Vault): void {
  describe('what was given to somebody else', { concurrency: 4 }, () => {
    test('the cursor of a publication shows it to nobody who may not read it', () =>
      cursors(site(), vault()));
    test('a webhook is not there for others, and its id does not help', () => webhooks(site(), vault()));
    test('a revocation is not there for other namespaces', () => revocations(site(), vault()));
    test("an MQTT session is its subject's, whoever has its client identifier", () => mqttSessions(site()));
    test("a Bayeux session is its subject's, whoever has its id", () => bayeuxSessions(site(), vault()));
    test('a member of a topic is seen in its namespace alone', () => presence(site(), vault()));
    test('a ticket counts once, and not for a page of another origin', () => tickets(site(), vault()));
    test('a token in a URL counts nowhere', () => urls(site(), vault()));
    test('a cookie counts for no page of another origin', () => cookies(site(), vault()));
  });
}

async function cursors(site: Site, { canaryCursor: cursor }: Vault): Promise<void> {
  for (const [whose, token] of await others(site)) {
    const query = new URLSearchParams({ topic: 'vault/secret', cursor });
    const heard = await request(`http://${site.at('publish')}/v1/topics?${query}`, token);
    assert.match(heard.brief, /^(403 forbidden|404 not_found)$/, whose);
    const explain = await request(`http://${site.at('publish')}/v1/explain?${query}`, token);
    assert.doesNotMatch(explain.text(), /combination|"owner"/, whose);
    assert.match(explain.brief, /^(40[034] |200)/, whose);
  }
}

const json = { 'content-type': 'application/json' };

async function webhooks(site: Site, { owner }: Vault): Promise<void> {
  const base = `http://${site.at('registry')}/v1/subscriptions`;
  const header = site.keep('a header of a webhook', 'Basic c2VjcmV0OnN0dWZm');
  const body = JSON.stringify({
    ...{ filter: 'vault/#', url: 'https://receiver.example/hook', handshake: 'none' },
    headers: { Authorization: header },
  });
  const made = await fetch(base, {
    method: 'POST',
    body,
    headers: { ...json, authorization: `Bearer ${owner}` },
  });
  assert.equal(made.status, 201);
  const { id, secret } = (await made.json()) as { id: string; secret: string };
  site.keep('the secret of a webhook', secret.replace(/^whsec_/, ''));
  const asks = [
    ...['', '/attempts', '/dead-letters'].map((path) => ['GET', path] as const),
    ...['/pause', '/resume', '/rotate-secret', '/test', '/dead-letters/redeliver'].map(
      (path) => ['POST', path] as const,
    ),
    ['PATCH', ''] as const,
    ['DELETE', ''] as const,
  ];
  for (const [whose, token] of await others(site)) {
    for (const [method, path] of asks) {
      const change = method === 'PATCH' ? { description: 'mine' } : {};
      const wish = /GET|DELETE/.test(method) ? {} : { body: JSON.stringify(change), headers: json };
      const heard = await request(`${base}/${id}${path}`, token, { method, ...wish });
      assert.equal(heard.brief, '404 not_found', `${method} ${path} by ${whose}`);
      site.refused(heard.text());
    }
    const list = await request(base, token);
    assert.doesNotMatch(list.text(), new RegExp(id), whose);
  }
  const shown = await request(`${base}/${id}`, owner);
  assert.equal(shown.brief, '200');
  // Its owner is shown that there are headers and a secret, and not which.
  site.refused(shown.text());
}

async function revocations(site: Site, { owner }: Vault): Promise<void> {
  const base = `http://${site.at('registry')}/v1/revocations`;
  const body = JSON.stringify({ subject: 'leaver' });
  const made = await fetch(base, {
    method: 'POST',
    body,
    headers: { ...json, authorization: `Bearer ${owner}` },
  });
  const { id } = (await made.json()) as { id: string };
  const token = await site.token({ ns: 'elsewhere', sub: 'owner', ...everything });
  assert.doesNotMatch((await request(base, token)).text(), new RegExp(id));
  await request(`${base}/${id}`, token, { method: 'DELETE' });
  assert.match((await request(base, owner)).text(), new RegExp(id));
}

async function mqttSessions(site: Site): Promise<void> {
  const clientId = 'the-clients-own-name';
  const lasting = { clientId, clean: false, properties: { sessionExpiryInterval: 600 } };
  const claims = { ns: 'vault', sub: 'device', publish: ['#'], subscribe: ['#'] };
  const device = await site.token(claims);
  const first = new MqttVisit(site);
  await first.ask(connectPacket(device, lasting), 'connack');
  const subscriptions = [{ topic: 'queued/#', qos: 1, nl: false, rap: false, rh: 2 } as const];
  await first.ask({ cmd: 'subscribe', messageId: 1, subscriptions }, 'suback');
  first.close();
  await site.publish(device, 'queued/1', 'queued for the device');
  const thieves = [
    await site.token({ ...claims, sub: 'thief' }),
    await site.token({ ...claims, ns: 'elsewhere' }),
  ];
  for (const token of thieves) {
    const visit = new MqttVisit(site);
    const connack = await visit.ask(connectPacket(token, lasting), 'connack');
    assert.equal((connack as Packet & { sessionPresent?: boolean }).sessionPresent, false);
    // What a session has queued comes in front of whatever is asked afterwards.
    await visit.ask({ cmd: 'pingreq' }, 'pingresp');
    assert.doesNotMatch(visit.text(), /queued for/);
    visit.close();
  }
  const again = new MqttVisit(site);
  const connack = await again.ask(connectPacket(device, lasting), 'connack');
  assert.equal((connack as Packet & { sessionPresent?: boolean }).sessionPresent, true);
  again.close();
}

async function bayeuxSessions(site: Site, { owner }: Vault): Promise<void> {
  const url = `http://${site.at('edge-longpoll')}/bayeux`;
  const say = (token: string, message: object) =>
    request(url, token, { method: 'POST', body: JSON.stringify([message]), headers: json });
  const shaken = await say(owner, {
    ...{ channel: '/meta/handshake', version: '1.0' },
    supportedConnectionTypes: ['long-polling'],
  });
  const clientId = /"clientId":"([^"]+)"/.exec(shaken.text())?.[1];
  assert.ok(clientId);
  const messages = [
    { channel: '/meta/connect', clientId, connectionType: 'long-polling' },
    { channel: '/meta/subscribe', clientId, subscription: '/vault/**' },
    { channel: '/vault/secret', clientId, data: 'trespass' },
    { channel: '/meta/disconnect', clientId },
  ];
  for (const [whose, token] of await others(site)) {
    for (const message of messages) {
      const heard = await say(token, message);
      assert.match(heard.text(), /"successful":false/, `${message.channel} by ${whose}`);
      assert.match(heard.text(), /"code":"forbidden"/, `${message.channel} by ${whose}`);
    }
  }
}

async function presence(site: Site, { owner }: Vault): Promise<void> {
  const entered = new MqttVisit(site);
  const userProperties = { presence: 'vault/room', 'presence-status': 'busy' };
  await entered.ask(connectPacket(owner, { properties: { userProperties } }), 'connack');
  const list = (token: string) =>
    request(`http://${site.at('registry')}/v1/presence?topic=vault%2Froom`, token);
  assert.match((await list(owner)).text(), /"busy"/);
  const [[, neighbour], [, stranger]] = (await others(site)) as [[string, string], [string, string]];
  assert.equal((await list(neighbour)).brief, '403 forbidden');
  assert.match((await list(stranger)).text(), /"members":\[\]/);
  entered.close();
}

async function ticketOf(site: Site, token: string): Promise<string> {
  const heard = await request(`http://${site.at('registry')}/v1/tickets`, token, { method: 'POST' });
  const ticket = /"ticket":"([^"]+)"/.exec(heard.text())?.[1] ?? assert.fail(heard.text());
  return site.keep('a ticket', ticket);
}

const sse = (site: Site, query: object): string =>
  `http://${site.at('edge-sse')}/sse?${new URLSearchParams({ topic: 'vault/#', ...query })}`;

async function tickets(site: Site, { owner }: Vault): Promise<void> {
  const ticket = await ticketOf(site, owner);
  const foreign = { headers: { origin: 'https://elsewhere.example' } };
  assert.equal((await request(sse(site, { ticket }), undefined, foreign)).brief, '403 forbidden');
  const first = await request(sse(site, { ticket }), undefined);
  assert.equal(first.brief, '200');
  first.close();
  const second = await request(sse(site, { ticket }), undefined);
  assert.equal(second.brief, '401 unauthenticated');
  site.refused(second.text());
}

async function urls(site: Site, { owner }: Vault): Promise<void> {
  for (const name of ['token', 'access_token', 'authorization', 'jwt', 'pushfleet', 'ticket']) {
    const targets = [
      sse(site, { [name]: owner }),
      ...['/poll', '/comet/stream', '/comet/frame'].map(
        (path) => `http://${site.at('edge-longpoll')}${path}?topic=vault%2Fsecret&${name}=${owner}`,
      ),
      `http://${site.at('publish')}/v1/history?topic=vault%2Fsecret&${name}=${owner}`,
      `http://${site.at('registry')}/v1/subscriptions?${name}=${owner}`,
    ];
    for (const target of targets) {
      const heard = await request(target, undefined);
      heard.close();
      assert.match(heard.brief, /^40[01] /, target);
      site.refused(heard.text());
    }
  }
}

async function cookies(site: Site, { owner }: Vault): Promise<void> {
  const headers = { cookie: `pushfleet=${owner}`, origin: 'https://elsewhere.example' };
  const paths = ['/poll', '/comet/stream', '/comet/frame'].map(
    (path) => `http://${site.at('edge-longpoll')}${path}`,
  );
  for (const url of [sse(site, {}), ...paths.map((path) => `${path}?topic=vault%2Fsecret`)]) {
    const heard = await request(url, undefined, { headers });
    assert.equal(heard.brief, '403 forbidden', url);
    site.refused(heard.text());
  }
  // No API takes one from any page.
  const apis = [
    `http://${site.at('publish')}/v1/history?topic=vault%2Fsecret`,
    `http://${site.at('registry')}/v1/subscriptions`,
  ];
  for (const url of apis) {
    const heard = await request(url, undefined, { headers: { cookie: `pushfleet=${owner}` } });
    assert.equal(heard.brief, '401 unauthenticated', url);
  }
}
