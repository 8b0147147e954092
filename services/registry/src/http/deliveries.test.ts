import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { until } from '@pushfleet/contract';
import { SubscriptionState } from '@pushfleet/proto/pushfleet/registry/v1/subscriptions';
import { delivered, hook, type Json, manager, startWebhookFleet, type WebhookFleet } from './testing.ts';

describe('deliveries of a subscription', () => {
  let fleet: WebhookFleet;
  let made = 0;

  before(async () => {
    fleet = await startWebhookFleet({ PUSHFLEET_WEBHOOK_UNCONFIRMED: 'true' });
  });
  after(() => fleet.close());

  /** A subscription to a topic of its own. */
  const create = async (
    more: Json = {},
  ): Promise<{ readonly path: string; readonly id: string; readonly topic: string }> => {
    const id = `d${++made}`;
    const topic = `orders/${id}`;
    const body = { id, url: `https://${id}.example.com/`, filter: topic, handshake: 'none', ...more };
    const { status } = await fleet.ask('POST', '/v1/subscriptions', { body });
    assert.equal(status, 201);
    return { id, topic, path: `/v1/subscriptions/${id}` };
  };
  const seen = (id: string): string[] =>
    fleet.errands
      .filter(({ subscription, why }) => subscription.id === id && why === 'publication')
      .map(({ publication }) => String(publication?.id));
  const arrived = (id: string, ...wanted: string[]): Promise<unknown> =>
    until(() => seen(id).join() === wanted.join(), `${wanted} to arrive at ${id}`);
  const failing = (id: string): void => {
    fleet.answer = ({ subscription }) =>
      subscription.id === id
        ? { verdict: 'failed', status: 500, durationMs: 2, error: 'It answered 500.', response }
        : delivered;
  };
  const response = { headers: { 'content-type': 'text/plain' }, body: 'no', truncated: false };

  it('calls the receiver for a test, and tells what came of it', async () => {
    const { path, id } = await create();
    failing(id);
    const { status, body } = await fleet.ask('POST', `${path}/test`);
    fleet.answer = () => delivered;
    assert.equal(status, 200);
    assert.deepEqual(
      [body.why, body.verdict, body.status, body.error, body.response],
      ['test', 'failed', 500, 'It answered 500.', response],
    );
  });

  it('lists the attempts, newest first, a page at a time', async () => {
    const { path, id, topic } = await create();
    for (const name of ['1', '2', '3']) {
      await fleet.publish(`${id}-${name}`, topic);
      await until(() => seen(id).includes(`${id}-${name}`), 'it to arrive');
    }
    const list = (query: string) => fleet.ask('GET', `${path}/attempts${query}`);
    await until(async () => ((await list('')).body.attempts as Json[]).length === 3, 'three attempts');
    const first = await list('?limit=2');
    const second = await list(`?limit=2&before=${first.body.next}`);
    const names = [first, second].flatMap(({ body }) =>
      (body.attempts as { publication: { id: string } }[]).map(({ publication }) => publication.id),
    );
    assert.deepEqual(names, [`${id}-3`, `${id}-2`, `${id}-1`]);
    assert.equal(second.body.next, undefined);
    assert.equal((await list('?before=x')).status, 400);
  });

  it('lists what was given up, and delivers one or all again', async () => {
    const { path, id, topic } = await create();
    failing(id);
    for (const name of ['1', '2', '3']) await fleet.publish(`${id}-${name}`, topic);
    const letters = async () =>
      (await fleet.ask('GET', `${path}/dead-letters`)).body.deadLetters as {
        letter: string;
        publication: { id: string };
      }[];
    await until(async () => (await letters()).length === 3, 'three dead letters');
    const { body } = await fleet.ask('GET', path);
    assert.equal((body.backlog as Json).dead, 3);
    fleet.answer = () => delivered;
    const { letter, publication } = (await letters())[0] as { letter: string; publication: { id: string } };
    const before = seen(id).length;
    assert.equal((await fleet.ask('POST', `${path}/dead-letters/${letter}/redeliver`)).status, 202);
    await until(() => seen(id).length === before + 1, 'the first again');
    assert.equal(seen(id).at(-1), publication.id);
    assert.equal((await fleet.ask('POST', `${path}/dead-letters/${letter}/redeliver`)).status, 404);
    assert.equal((await fleet.ask('POST', `${path}/dead-letters/x/redeliver`)).status, 404);
    assert.equal((await fleet.ask('POST', `${path}/dead-letters/redeliver`)).status, 202);
    await until(() => seen(id).length === before + 3, 'the others again');
    await until(async () => (await letters()).length === 0, 'no dead letters');
  });

  it('replays from a cursor or a time, to a cursor or to now', async () => {
    const started = new Date(Date.now() - 1_000).toISOString();
    const { path, id, topic } = await create();
    const [first, second] = [await fleet.publish(`${id}-1`, topic), await fleet.publish(`${id}-2`, topic)];
    await fleet.publish(`${id}-3`, topic);
    const all = ['1', '2', '3'].map((name) => `${id}-${name}`);
    await arrived(id, ...all);
    assert.equal((await fleet.ask('POST', `${path}/replay`, { body: { since: started } })).status, 202);
    await arrived(id, ...all, ...all);
    await fleet.ask('POST', `${path}/replay`, { body: { after: first, until: second } });
    await arrived(id, ...all, ...all, `${id}-2`);
    for (const body of [
      {},
      { after: first, since: started },
      { after: 'x' },
      { since: 'x' },
      { since: started, until: 'x' },
    ]) {
      assert.equal((await fleet.ask('POST', `${path}/replay`, { body })).status, 400);
    }
  });

  it('keeps what is published while it is paused', async () => {
    const { path, id, topic } = await create();
    await fleet.ask('POST', `${path}/pause`);
    await fleet.publish(`${id}-1`, topic);
    await until(async () => {
      const { body } = await fleet.ask('GET', path);
      return (body.backlog as Json).queued === 1;
    }, 'one in the queue');
    await fleet.ask('POST', `${path}/resume`);
    await arrived(id, `${id}-1`);
  });

  describe('that was suspended', () => {
    const state = SubscriptionState.SUBSCRIPTION_STATE_SUSPENDED;

    /** One that was suspended before two publications; the cursor is that of the first. */
    const suspended = async () => {
      const one = await create();
      const client = fleet.store;
      const held = await client.get(one.id);
      await client.update({ ...held, state, stateReason: 'It failed for days.' }, ['state', 'state_reason']);
      const cursor = await fleet.publish(`${one.id}-1`, one.topic);
      await fleet.publish(`${one.id}-2`, one.topic);
      return { ...one, cursor };
    };

    it('takes no replay until it is resumed', async () => {
      const { path } = await suspended();
      const { body } = await fleet.ask('GET', path);
      assert.deepEqual([body.state, body.stateReason], ['suspended', 'It failed for days.']);
      const since = '2030-01-01T00:00:00Z';
      assert.equal((await fleet.ask('POST', `${path}/replay`, { body: { since } })).status, 409);
      assert.equal((await fleet.ask('POST', `${path}/dead-letters/redeliver`)).status, 409);
      assert.equal((await fleet.ask('POST', `${path}/pause`)).status, 409);
    });

    for (const from of ['suspension', 'a cursor', 'now', undefined]) {
      it(`goes on from ${from ?? 'the suspension unless told otherwise'}`, async () => {
        const { path, id, topic, cursor } = await suspended();
        const body = from === undefined ? undefined : { from: from === 'a cursor' ? cursor : from };
        const resumed = await fleet.ask('POST', `${path}/resume`, { body });
        assert.deepEqual([resumed.body.state, resumed.body.stateReason], ['active', undefined]);
        await fleet.publish(`${id}-3`, topic);
        const missed = { now: [], 'a cursor': ['2'] }[from ?? ''] ?? ['1', '2'];
        const wanted = [...missed, '3'].map((name) => `${id}-${name}`);
        await until(() => seen(id).toSorted().join() === wanted.join(), `${wanted} to arrive`);
      });
    }

    it('is not resumed from what is no place', async () => {
      const { path } = await suspended();
      assert.equal((await fleet.ask('POST', `${path}/resume`, { body: { from: 'yesterday' } })).status, 400);
    });
  });

  it('waits for the consent of a receiver that does not answer yet, and asks again when told', async () => {
    const id = 'pending';
    fleet.answer = ({ why }) => (why === 'handshake' ? { verdict: 'failed', durationMs: 1 } : delivered);
    const quick = await startWebhookFleet();
    quick.retryMs.push(3_600_000);
    quick.answer = fleet.answer;
    try {
      const body = { ...hook, id };
      assert.equal((await quick.ask('POST', '/v1/subscriptions', { body })).body.state, 'pending');
      assert.equal((await quick.ask('POST', `/v1/subscriptions/${id}/test`)).status, 409);
      assert.equal((await quick.ask('POST', `/v1/subscriptions/${id}/pause`)).status, 409);
      quick.answer = () => delivered;
      assert.equal((await quick.ask('POST', `/v1/subscriptions/${id}/resume`)).body.state, 'active');
    } finally {
      fleet.answer = () => delivered;
      await quick.close();
    }
  });

  it('is all forgotten with the subscription', async () => {
    const { path, id, topic } = await create();
    failing(id);
    await fleet.publish(`${id}-1`, topic);
    await until(
      async () => ((await fleet.ask('GET', path)).body.backlog as Json).dead === 1,
      'a dead letter',
    );
    fleet.answer = () => delivered;
    assert.equal((await fleet.ask('DELETE', path, { claims: manager })).status, 204);
    assert.equal((await fleet.ask('GET', `${path}/attempts`)).status, 404);
    await fleet.ask('POST', '/v1/subscriptions', { body: { ...hook, id, filter: topic, handshake: 'none' } });
    assert.deepEqual((await fleet.ask('GET', `${path}/dead-letters`)).body.deadLetters, []);
  });

  it('of an earlier one of the same name are nothing for the next', async () => {
    const [id, body] = [`d${made + 1}`, Buffer.from('{"owed":1}')];
    const key = `default/${id}`;
    for (const name of ['dead', 'attempts']) await fleet.backbone.shelf(name).append([{ key, body }]);
    const { path } = await create();
    assert.deepEqual((await fleet.ask('GET', `${path}/dead-letters`)).body.deadLetters, []);
    assert.deepEqual((await fleet.ask('GET', `${path}/attempts`)).body.attempts, []);
  });
});
