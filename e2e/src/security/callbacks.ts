import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { describe, test } from 'node:test';
import type { Site } from './site.ts';
import { request } from './ways-http.ts';

// Addresses inside the network that the fleet is asked to call.

const hosts = [
  ...['127.0.0.1', 'localhost', '0.0.0.0', '0x7f.1', '2130706433', '017700000001', '127.1'],
  ...[
    '[::1]',
    '[::]',
    '[::ffff:127.0.0.1]',
    '[::ffff:7f00:1]',
    '[64:ff9b::7f00:1]',
    '[2002:7f00:1::]',
    '[fe80::1]',
    '[fd00::1]',
  ],
  ...[
    '10.0.0.1',
    '172.16.0.1',
    '192.168.0.1',
    '100.64.0.1',
    '169.254.169.254',
    '224.0.0.1',
    '240.0.0.1',
    '198.18.0.1',
  ],
  ...['localhost.', '127.0.0.1.'],
];

/** The password is looked for in logs and answers. */
const password = 'hunter2-of-a-callback';
const targets = [
  ...hosts.map((host) => `https://${host}/hook`),
  'https://127.0.0.1:6379/',
  'http://receiver.example/',
  'https://receiver.example:22/',
  `https://user:${password}@receiver.example/`,
  'ftp://receiver.example/',
  'file:///etc/passwd',
  'gopher://127.0.0.1:6379/_FLUSHALL',
];

const json = { 'content-type': 'application/json' };
const form = { 'content-type': 'application/x-www-form-urlencoded' };

/** Ways to have the fleet call an address. */
const askers: Readonly<
  Record<string, (site: Site, token: string, url: string) => ReturnType<typeof request>>
> = {
  webhooks: (site, token, url) =>
    request(`http://${site.at('registry')}/v1/subscriptions`, token, {
      method: 'POST',
      body: JSON.stringify({ filter: 'news/#', url }),
      headers: json,
    }),
  'SUBSCRIBE over HTTP': (site, token, url) =>
    request(`http://${site.at('publish')}/v1/topics/news`, token, {
      method: 'SUBSCRIBE',
      headers: { callback: `<${url}>`, nt: 'upnp:event' },
    }),
  WebSub: async (site, _token, url) => {
    const fields = { 'hub.mode': 'subscribe', 'hub.topic': await topicUrl(site), 'hub.callback': url };
    const body = String(new URLSearchParams(fields));
    return request(`http://${site.at('delivery-websub')}/websub`, undefined, {
      method: 'POST',
      body,
      headers: form,
    });
  },
  'the notice of a publisher to the hub': (site, _token, url) => {
    const body = String(new URLSearchParams({ 'hub.mode': 'publish', 'hub.url': url }));
    return request(`http://${site.at('delivery-websub')}/websub`, undefined, {
      method: 'POST',
      body,
      headers: form,
    });
  },
};

async function topicUrl(site: Site): Promise<string> {
  const { headers } = await fetch(`http://${site.at('publish')}/v1/topics/news/today`, { method: 'HEAD' });
  return (
    /<([^>]+)>; rel="self"/.exec(headers.get('link') ?? '')?.[1] ?? assert.fail('the topic is not public')
  );
}

export function callbacks(site: () => Site): void {
  describe('addresses of callbacks', { concurrency: 4 }, () => {
    for (const [name, ask] of Object.entries(askers)) {
      test(`${name}: none inside the network is called`, async () => {
        const own = await listener();
        site().keep('the password in a URL', password);
        const token = await site().token({ sub: `caller of ${name}`, subscribe: ['#'] });
        for (const url of [...targets, `https://127.0.0.1:${own.port}/`]) {
          const heard = await ask(site(), token, url);
          site().refused(heard.text());
          assert.match(heard.brief, /^4\d\d/, `${url}: ${heard.text()}`);
          assert.doesNotMatch(heard.brief, /429/, url);
        }
        assert.equal(own.connections(), 0);
        own.close();
      });
    }
  });
}

/** Somebody inside the network, who counts who calls. */
async function listener() {
  let connections = 0;
  const server = createServer((socket) => {
    connections++;
    socket.destroy();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    connections: () => connections,
    close: () => server.close(),
  };
}
