import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { until } from '@pushfleet/contract';
import { confirm, heard, status } from './testing.ts';
import { HubSite, texts } from './testing-site.ts';

describe('delivery-websub as a process', () => {
  // Questions go on for as long as a slot takes to pass from a worker that died.
  const patient = { PUSHFLEET_WEBSUB_VERIFY_RETRY: Array(40).fill('1s').join() };
  let site: HubSite;
  before(async () => {
    site = await HubSite.start(patient);
  });
  after(() => site?.stop());

  test('killed, it loses no question and no delivery', async () => {
    const { topic, url } = site.newTopic();
    const [callback, asked] = [site.subscriber.callback(), site.subscriber.callback()];
    await site.subscribed(url, callback, { 'hub.secret': 'x' });
    const held = Promise.withResolvers<void>();
    callback.take = (seen, response) => void held.promise.then(() => status(204)(seen, response));
    asked.verify = status(503);
    await site.subscribe(url, asked);
    await heard(() => asked.verifications, 1, 'the question');
    await site.publish(topic, 'not lost');
    await heard(() => callback.contents, 1, 'the delivery');
    await site.worker.kill('SIGKILL');
    asked.verify = confirm;
    callback.take = status(204);
    const { length } = callback.contents;
    await site.startWorker(patient);
    await until(() => site.isActive(url, asked), 'the subscription');
    await until(() => callback.contents.length > length, 'the delivery, once more');
    held.resolve();
  });

  test('shows attempts and how far the log is read', async () => {
    const scrape = async () => (await fetch(`http://${site.worker.addresses.ops}/metrics`)).text();
    assert.match(await scrape(), /pushfleet_websub_attempt_seconds_count\{verdict="delivered"\} [1-9]/);
    const behind = async () => (await scrape()).includes('\npushfleet_websub_behind_publications 0\n');
    await until(behind, 'the log to be read');
  });

  test('waits for what is on its way when it is told to stop, and exits 0; no secret is in its log', async () => {
    const { topic, url } = site.newTopic();
    const callback = site.subscriber.callback();
    await site.subscribed(url, callback, { 'hub.secret': 'a secret of hub and subscriber' });
    const held = Promise.withResolvers<void>();
    callback.take = (seen, response) => void held.promise.then(() => status(204)(seen, response));
    await site.publish(topic, 'on its way');
    await heard(() => callback.contents, 1, 'the delivery');
    const ended = site.worker.kill('SIGTERM', 30_000);
    await until(async () => site.worker.logs().includes('"draining"'), 'the drain');
    held.resolve();
    assert.equal(await ended, 0);
    assert.doesNotMatch(site.worker.logs(), /not everything went well|a secret of hub and subscriber/);
    assert.deepEqual(texts(callback), ['on its way']);
  });
});

describe('a wrong environment is told, and ends it', () => {
  const whole = {
    PUSHFLEET_DELIVERY_WEBSUB_LISTEN: '127.0.0.1:0',
    PUSHFLEET_DELIVERY_WEBSUB_OPS_LISTEN: '127.0.0.1:0',
    PUSHFLEET_REGISTRY_URL: 'http://127.0.0.1:9',
    PUSHFLEET_INTERNAL_SECRET: 'a secret of the tests that is long enough',
    PUSHFLEET_PUBLIC_URL: 'https://push.example.com',
  };
  for (const [what, env, said] of [
    ['no registry', { PUSHFLEET_REGISTRY_URL: '' }, /PUSHFLEET_REGISTRY_URL is not set/],
    ['no public address', { PUSHFLEET_PUBLIC_URL: '' }, /PUSHFLEET_PUBLIC_URL is not set/],
    [
      'a usual lease beyond the longest',
      { PUSHFLEET_WEBSUB_LEASE_MAX: '5d' },
      /PUSHFLEET_WEBSUB_LEASE lies outside/,
    ],
    [
      'a table that is none',
      { PUSHFLEET_WEBSUB_RETRY: '5s,soon' },
      /PUSHFLEET_WEBSUB_RETRY="5s,soon".*"soon" is not/,
    ],
  ] as const) {
    test(what, async () => {
      const child = spawn(process.execPath, [join(import.meta.dirname, 'main.ts')], {
        env: { ...process.env, ...whole, ...env },
      });
      let output = '';
      child.stderr.on('data', (chunk) => (output += chunk));
      const [code] = await once(child, 'close');
      assert.equal(code, 78, output);
      assert.match(output, said);
    });
  }
});
