import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { until } from '@pushfleet/contract';
import { openSse } from './stream.ts';
import { behaviours } from './webhook-receivers.ts';
import { bodies, HookSite, patienceMs } from './webhooks.ts';

let site: HookSite;

describe('the upkeep of a webhook', () => {
  before(async () => {
    site = await HookSite.start({ PUSHFLEET_WEBHOOK_RETRY: '1s,1s' });
  });
  after(() => site?.stop());

  test('paused, it queues; resumed, it gets all of it in order', async () => {
    const { name, hook } = await site.subscribe(behaviours.well, { ordered: true });
    await site.publish(`${name}/a`, '0');
    await site.arrived(name, 1);
    await site.owner.done('POST', `/${hook.id}/pause`);
    for (const text of ['1', '2', '3']) await site.publish(`${name}/a`, text);
    const queued = async () => (await site.owner.done('GET', `/${hook.id}`)).backlog.queued === 3;
    await until(queued, 'three to be queued', patienceMs);
    assert.deepEqual(bodies(site.receivers.of(name)), ['0']);
    await site.owner.done('POST', `/${hook.id}/resume`);
    assert.deepEqual(bodies(await site.arrived(name, 4)), ['0', '1', '2', '3']);
  });

  test('while a secret rotates both verify, and afterwards the new one alone', async () => {
    const { name, hook } = await site.subscribe();
    const { secret } = await site.owner.done('POST', `/${hook.id}/rotate-secret`, { overlap: 3_600 });
    assert.notEqual(secret, hook.secret);
    const signedBy = async (text: string, ...secrets: string[]): Promise<boolean[]> => {
      const found: boolean[] = [];
      for (const one of secrets) {
        site.receivers.trust(name, one);
        const count = site.receivers.of(name).length;
        await site.publish(`${name}/a`, text);
        found.push((await site.arrived(name, count + 1)).at(-1)?.signed ?? false);
      }
      return found;
    };
    const both = async () => (await signedBy('during', hook.secret, secret)).every(Boolean);
    await until(both, 'deliveries to carry both signatures', patienceMs);
    const last = await site.owner.done('POST', `/${hook.id}/rotate-secret`, { overlap: 0 });
    const alone = async () => {
      const [newest, older, oldest] = await signedBy('after', last.secret, secret, hook.secret);
      return newest === true && older === false && oldest === false;
    };
    await until(alone, 'deliveries to carry the new signature alone', patienceMs);
  });

  test('given up, it is a dead letter that can be delivered again', async () => {
    const { name, hook } = await site.subscribe(() => ({ status: 500, body: 'no' }));
    await site.publish(`${name}/a`, 'late');
    const letters = async () =>
      (
        await site.owner.done<{ deadLetters: { letter: string; attempts: number }[] }>(
          'GET',
          `/${hook.id}/dead-letters`,
        )
      ).deadLetters;
    await until(async () => (await letters()).length === 1, 'a dead letter', patienceMs);
    const [letter] = await letters();
    assert.equal(letter?.attempts, 3);
    const attempts = async () =>
      (
        await site.owner.done<{ attempts: { status: number; attempt: number }[] }>(
          'GET',
          `/${hook.id}/attempts`,
        )
      ).attempts;
    // They are put on record beside the letter, and may be seen after it.
    await until(async () => (await attempts()).length === 3, 'the attempts', patienceMs);
    assert.deepEqual(
      (await attempts()).map(({ status, attempt }) => [status, attempt]),
      [
        [500, 3],
        [500, 2],
        [500, 1],
      ],
    );
    site.receivers.change(name, behaviours.well);
    await site.owner.done('POST', `/${hook.id}/dead-letters/${letter?.letter}/redeliver`);
    const received = await site.arrived(name, 4);
    assert.equal(received.at(-1)?.status, 200);
    assert.equal(new Set(received.map(({ id }) => id)).size, 1);
    await until(async () => (await letters()).length === 0, 'the dead letter to be gone', patienceMs);
  });

  test('replayed, it comes again with the same webhook-id', async () => {
    const { name, hook } = await site.subscribe(behaviours.well, { ordered: true });
    const since = new Date().toISOString();
    for (const text of ['1', '2']) await site.publish(`${name}/a`, text);
    await site.arrived(name, 2);
    await site.owner.done('POST', `/${hook.id}/replay`, { since });
    const received = await site.arrived(name, 4);
    assert.deepEqual(bodies(received), ['1', '2', '1', '2']);
    assert.deepEqual(
      received.slice(2).map(({ id }) => id),
      received.slice(0, 2).map(({ id }) => id),
    );
  });

  test('a topic that is deleted takes what is pending of it along', async () => {
    const { name, hook } = await site.subscribe(behaviours.well, { ordered: true });
    await site.owner.done('POST', `/${hook.id}/pause`);
    for (const [topic, text] of [
      ['gone', '1'],
      ['kept', '2'],
      ['gone', '3'],
    ]) {
      await site.publish(`${name}/${topic}`, text as string);
    }
    const headers = { authorization: `Bearer ${site.token}` };
    const deleted = await fetch(`http://${site.fleet.http.address}/v1/topics/${name}/gone`, {
      method: 'DELETE',
      headers,
    });
    assert.ok(deleted.ok, `${deleted.status}`);
    await site.owner.done('POST', `/${hook.id}/resume`);
    await site.publish(`${name}/gone`, '4');
    assert.deepEqual(bodies(await site.arrived(name, 2)), ['2', '4']);
  });
});

describe('a subscription that fails for too long', () => {
  before(async () => {
    site = await HookSite.start({
      PUSHFLEET_WEBHOOK_RETRY: '1s,1s,1s,1s,1s,1s,1s,1s',
      PUSHFLEET_WEBHOOK_SUSPEND_AFTER: '2s',
    });
  });
  after(() => site?.stop());

  test('is suspended, which $hooks tells; resumed, it gets what it missed', async () => {
    const { name, hook } = await site.subscribe(() => ({ status: 503 }), { ordered: true });
    const news = await openSse(site.fleet.sse.address, `$hooks/${hook.id}`, site.token);
    await site.publish(`${name}/a`, '1');
    const suspended = async () => (await site.owner.done('GET', `/${hook.id}`)).state === 'suspended';
    await until(suspended, 'the subscription to be suspended', patienceMs);
    await until(() => news.text().includes('has failed since'), 'the news of it', patienceMs);
    news.close();
    await site.publish(`${name}/a`, '2');
    site.receivers.change(name, behaviours.well);
    await site.owner.done('POST', `/${hook.id}/resume`);
    const accepted = () =>
      site.receivers
        .of(name)
        .filter(({ status }) => status === 200)
        .map(({ body }) => body);
    await until(() => accepted().includes('2'), 'what was published meanwhile', patienceMs);
    assert.deepEqual(accepted(), ['1', '2']);
  });
});
