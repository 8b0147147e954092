import assert from 'node:assert/strict';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { until } from '@pushfleet/contract';
import { pushfleet } from '../../packages/cli/src/testing.ts';
import { Fleet, token } from './fleet.ts';
import { webhookEnv } from './webhooks.ts';

/** Each command is a process of its own, and the machine may be busy. */
const patienceMs = 60_000;

describe('pushfleet webhooks', () => {
  let fleet: Fleet;
  let receiver: Server;
  let url: string;
  let run: (...args: string[]) => Promise<string>;
  /** What the receiver answers, but to handshakes. */
  let status = 204;
  let received = 0;

  before(async () => {
    receiver = createServer((request, response) => {
      const { 'x-hook-secret': secret } = request.headers;
      if (secret === undefined) received++;
      if (secret !== undefined) response.setHeader('x-hook-secret', secret);
      response.writeHead(secret === undefined ? status : 204).end();
    });
    await new Promise<void>((resolve) => receiver.listen(0, '127.0.0.1', resolve));
    url = `http://127.0.0.1:${(receiver.address() as AddressInfo).port}/hooks`;
    // One attempt each: what fails is a dead letter at once.
    fleet = await Fleet.start({ workers: 1, env: { ...webhookEnv, PUSHFLEET_WEBHOOK_RETRY: '1' } });
    const command = pushfleet.with({ PUSHFLEET_TOKEN: await token({ subscribe: ['#'], publish: ['#'] }) });
    run = async (...args) => {
      const { code, stdout, stderr } = await command(
        'webhooks',
        ...args,
        '--url',
        `http://${fleet.registry.addresses.http}`,
      ).ended;
      assert.equal(code, 0, stderr);
      return stdout;
    };
  });
  after(async () => {
    await fleet?.stop();
    receiver.close();
  });

  const publish = async (): Promise<void> => {
    const answer = await fetch(`http://${fleet.http.address}/v1/topics/orders/1`, {
      method: 'POST',
      headers: { authorization: `Bearer ${await token({ publish: ['#'] })}`, 'content-type': 'text/plain' },
      body: 'x',
    });
    assert.ok(answer.ok);
  };

  it('leads a webhook through its life', async () => {
    const created = await run(
      'create',
      'orders/#',
      url,
      '--id',
      'shop',
      '--header',
      'X-Team: orders',
      '--rate',
      '50',
    );
    assert.match(
      created,
      /^created: shop {2}active {2}orders\/# → http:.*\nverify with \(shown once\): whsec_\S+\n$/,
    );
    assert.match(await run('list'), /^shop {2}active /);
    assert.match(await run('show', 'shop'), /backlog: 0 queued, 0 to be tried again, 0 given up/);
    assert.match(await run('test', 'shop'), /delivered {2}HTTP 204 .* test$/m);

    await publish();
    await until(() => received === 2, 'the publication to arrive', patienceMs);
    await until(
      async () => /orders\/1/.test(await run('attempts', 'shop')),
      'the attempt to be listed',
      patienceMs,
    );
    await run('replay', 'shop', '--since', '1h');
    await until(() => received === 3, 'the publication to arrive again', patienceMs);

    assert.match(await run('pause', 'shop'), /^paused: shop {2}paused/);
    assert.match(await run('list', '--in', 'active'), /^$/);
    assert.match(await run('resume', 'shop'), /^resumed: shop {2}active/);
    assert.match(await run('rotate', 'shop', '--signing', 'ed25519'), /^rotated: shop\nverify with .*whpk_/);

    status = 500;
    await publish();
    await until(
      async () => / after \d+ attempts: /.test(await run('dead', 'shop')),
      'a dead letter',
      patienceMs,
    );
    status = 204;
    const letter = JSON.parse(await run('dead', 'shop', '--json', '--limit', '1')) as { letter: string };
    assert.match(await run('dead', 'shop', '--redeliver', letter.letter), /^delivered again: \d+\n$/);
    await until(async () => (await run('dead', 'shop')) === '', 'no dead letters', patienceMs);

    assert.equal(await run('delete', 'shop'), 'deleted: shop\n');
    assert.equal(await run('list'), '');
  });
});
