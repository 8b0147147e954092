import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { connectJetStream, migrate } from '@pushfleet/bus';
import { startNats, until } from '@pushfleet/contract';
import { Subscription, SubscriptionState } from '@pushfleet/proto/pushfleet/registry/v1/subscriptions';
import type { Consent } from './consent.ts';
import { createDeliveryControl } from './control.ts';
import { type SubscriptionRef, slotOf } from './place.ts';
import { delivered, failed, namespace, type TestFleet, testFleet } from './testing.ts';

const streams = { shards: 1, replicas: 1, maxAgeMs: 3_600_000, maxBytes: 1e9, duplicateWindowMs: 120_000 };

/** The same on the broker that the product runs on, and on the one in memory. */
const logs: Readonly<Record<string, () => Promise<{ fleet: TestFleet; close(): Promise<void> }>>> = {
  'in memory': async () => ({ fleet: testFleet(), close: async () => {} }),
  'on JetStream': async () => {
    const nats = await startNats();
    await migrate({ servers: nats.url, ...streams });
    const backbone = connectJetStream({ servers: nats.url, name: 'delivery test' });
    await backbone.start();
    return { fleet: testFleet(backbone), close: () => nats.stop() };
  },
};

for (const [log, open] of Object.entries(logs))
  describe(`a worker of deliveries ${log}`, () => {
    let fleet: TestFleet;
    let close: () => Promise<void>;
    beforeEach(async () => {
      ({ fleet, close } = await open());
    });
    afterEach(async () => {
      await fleet.close();
      await close();
    });

    const ids = (count: number, from = 0): string[] =>
      Array.from({ length: count }, (_, i) => `p${from + i}`);
    const publishAll = async (names: readonly string[]): Promise<void> => {
      for (const name of names) await fleet.publish(name);
    };
    const control = () => createDeliveryControl('webhook', fleet.backbone, fleet.backbone.signals);

    it('delivers each publication to each subscription once, pages included', async () => {
      fleet.registry.pageSize = 7;
      const receivers = Array.from(
        { length: 40 },
        (_, i) => fleet.registry.put(`s${i}`, { ordered: i % 5 === 0 }).id,
      );
      await fleet.worker();
      await publishAll(ids(3));
      await until(() => fleet.courier.errands.length >= 120, 'all deliveries');
      for (const receiver of receivers) assert.deepEqual(fleet.courier.seen(receiver).toSorted(), ids(3));
    });

    it('tries again by its table, names the delivery alike at each attempt, and gives up with a dead letter', async () => {
      const ref = fleet.registry.put('bad');
      fleet.courier.answer = () => failed;
      await fleet.worker({ breakerFailures: 100 });
      await fleet.publish('p0');
      await until(() => fleet.courier.errands.length === 4, 'four attempts');
      assert.deepEqual(
        fleet.courier.errands.map(({ attempt }) => attempt),
        [1, 2, 3, 4],
      );
      assert.equal(new Set(fleet.courier.errands.map(({ id }) => id)).size, 1);
      await until(
        async () => (await control().deadLetters(ref, undefined, 10)).items.length === 1,
        'the dead letter',
      );
      const { items } = await control().deadLetters(ref, undefined, 10);
      assert.equal(items[0]?.attempts, 4);
      assert.equal(items[0]?.publication.id, 'p0');
      await until(
        async () => (await control().attempts(ref, undefined, 10)).items.length === 4,
        'the attempts',
      );
      assert.deepEqual(await control().backlog(ref), { queued: 0, retrying: 0, dead: 1 });

      fleet.courier.answer = () => delivered;
      await control().redeliver(ref, items[0]?.letter ?? '');
      await until(() => fleet.courier.errands.length === 5, 'the dead letter once more');
      assert.equal((await control().deadLetters(ref, undefined, 10)).items.length, 0);
    });

    it('calls nobody whose lease is over, also where the registry has not said so yet', async () => {
      const { courier, registry } = fleet;
      const attempts = (id: string): number => courier.seen(id).length;
      courier.answer = () => failed;
      await fleet.worker({ retryMs: Array.from({ length: 1_000 }, () => 10), breakerFailures: 1_000 });
      const expiresAt = new Date(Date.now() + 3_000);
      for (const ordered of [true, false]) registry.put(ordered ? 'first' : 'second', { ordered, expiresAt });
      registry.put('for ever');
      await fleet.publish('p0');
      await until(() => attempts('first') > 1 && attempts('second') > 1, 'attempts');
      const goOn = async (times: number): Promise<void> => {
        const enough = attempts('for ever') + times;
        await until(() => attempts('for ever') >= enough, 'attempts of another');
      };
      await until(() => expiresAt.getTime() <= Date.now(), 'the end of the leases');
      await goOn(2);
      const before = [attempts('first'), attempts('second')] as const;
      await goOn(10);
      assert.deepEqual([attempts('first'), attempts('second')], before);
      registry.put('first', { ordered: true, expiresAt: new Date(Date.now() + 60_000) });
      await until(() => attempts('first') > before[0], 'it once it is renewed');
    });

    it('keeps the order of the log for a subscription that wants it, also over failures', async () => {
      fleet.registry.put('fifo', { ordered: true });
      let calls = 0;
      fleet.courier.answer = () => (++calls % 3 === 0 ? failed : delivered);
      await fleet.worker({ retryMs: Array.from({ length: 20 }, () => 10) });
      await publishAll(ids(30));
      await until(() => new Set(fleet.courier.seen('fifo')).size === 30, 'all publications');
      assert.deepEqual([...new Set(fleet.courier.seen('fifo'))], ids(30));
      assert.equal(fleet.courier.most, 1);
    });

    it('lets a receiver that hangs hold nothing up, and delivers to it once it answers', async () => {
      fleet.registry.put('hangs');
      fleet.registry.put('well');
      const { promise, resolve } = Promise.withResolvers<void>();
      fleet.courier.answer = async ({ subscription }) => {
        if (subscription.id === 'hangs') await promise;
        return delivered;
      };
      await fleet.worker();
      await publishAll(ids(100));
      await until(() => fleet.courier.seen('well').length === 100, 'the deliveries of the other');
      const ref = { namespace, id: 'hangs' };
      await until(
        async () => (await control().backlog(ref)).queued >= 98,
        'what waits for it to be on its shelf',
      );
      resolve();
      await until(() => new Set(fleet.courier.seen('hangs')).size === 100, 'all deliveries');
      await until(async () => {
        const { queued, retrying } = await control().backlog(ref);
        return queued + retrying === 0;
      }, 'nothing to be left');
      assert.equal(fleet.courier.seen('hangs').length, 100);
    });

    it('ends a subscription whose receiver is gone, and sends it nothing more', async () => {
      const ref = fleet.registry.put('gone');
      fleet.courier.answer = () => ({ verdict: 'gone', status: 410, durationMs: 1 });
      await fleet.worker({ endpointConcurrency: 1 });
      await publishAll(ids(20));
      await until(() => fleet.registry.ended.length === 1, 'the end');
      assert.deepEqual(fleet.registry.ended, ['gone: gone']);
      assert.equal(fleet.courier.errands.length, 1);
      await until(async () => (await control().backlog(ref)).queued === 0, 'its lane to be empty');
    });

    it('keeps what a paused subscription is owed, and gives it in order when it goes on', async () => {
      const state = SubscriptionState.SUBSCRIPTION_STATE_PAUSED;
      const ref = fleet.registry.put('s', { state, ordered: true });
      await fleet.worker();
      await publishAll(ids(5));
      await until(async () => (await control().backlog(ref)).queued === 5, 'five on its lane');
      assert.equal(fleet.courier.errands.length, 0);
      fleet.registry.put('s', { ordered: true });
      await until(() => fleet.courier.seen('s').length === 5, 'what was owed');
      assert.deepEqual(fleet.courier.seen('s'), ids(5));
    });

    it('suspends a subscription that has failed for too long, and tells of it', async () => {
      fleet.registry.put('s', { filter: 'a/b' });
      const news: string[] = [];
      const following = fleet.backbone.bus(namespace).follow((item) => {
        if (item.kind === 'publication') news.push(String(item.value.type));
      });
      await following.add('$hooks/s' as never);
      fleet.courier.answer = () => failed;
      await fleet.worker({ suspendAfterMs: 60 });
      await fleet.publish('p0');
      await until(() => fleet.registry.records.get('ns/s')?.state === 4, 'the suspension');
      await until(() => news.includes('pushfleet.hook.suspended'), 'the news');
      following.stop();
    });

    it('suspends a paused subscription on which too much waits, with order and without', async () => {
      const paused = { state: SubscriptionState.SUBSCRIPTION_STATE_PAUSED };
      for (const ordered of [true, false]) fleet.registry.put(`s-${ordered}`, { ...paused, ordered });
      await fleet.worker({ queue: 20 });
      const states = () => [...fleet.registry.records.values()].map(({ state }) => state);
      await publishAll(ids(20));
      const queued = async (id: string) => (await control().backlog({ namespace, id })).queued;
      await until(
        async () => (await queued('s-true')) === 20 && (await queued('s-false')) === 20,
        'all to wait',
      );
      assert.deepEqual(states(), [3, 3]);
      await publishAll(ids(2, 20));
      await until(() => states().every((state) => state === 4), 'both suspensions');
    });

    it('knows nothing of a receiver at its new address, nor of the time before it was resumed', async () => {
      const at = (url: string) =>
        Subscription.fromPartial({ target: { $case: 'webhook', webhook: { url } } }).target;
      fleet.registry.put('s', { target: at('https://old.example.com/') });
      fleet.courier.answer = () => ({ ...failed, verdict: 'throttled', retryAfterMs: 3_600_000 });
      await fleet.worker();
      await fleet.publish('p0');
      await until(() => fleet.courier.errands.length === 1, 'the answer that asks for an hour');
      await fleet.publish('p1');
      fleet.courier.answer = () => delivered;
      const since = new Date();
      fleet.registry.put('s', { target: at('https://new.example.com/'), stateSince: since });
      await until(() => fleet.courier.seen('s').includes('p1'), 'the delivery to the new address');

      fleet.courier.answer = () => ({ ...failed, verdict: 'throttled', retryAfterMs: 3_600_000 });
      await fleet.publish('p2');
      await until(() => fleet.courier.seen('s').includes('p2'), 'the answer that asks for an hour');
      fleet.courier.answer = () => delivered;
      await fleet.publish('p3');
      const resumed = new Date(since.getTime() + 1);
      fleet.registry.put('s', { target: at('https://new.example.com/'), stateSince: resumed });
      await until(() => fleet.courier.seen('s').includes('p3'), 'the delivery after it was resumed');
    });

    it('tells of no dead letter that is news itself', async () => {
      const refs = ['$hooks/#', '$hooks/+', 'a/b'].map((filter, i) =>
        fleet.registry.put(`s${i}`, { filter }),
      );
      fleet.courier.answer = () => ({ ...failed, verdict: 'rejected' });
      const before = await fleet.backbone.bus(namespace).head();
      await fleet.worker();
      await fleet.publish('p0');
      const dead = async () => Promise.all(refs.map(async (ref) => (await control().backlog(ref)).dead));
      await until(async () => (await dead()).every((count) => count === 1), 'a dead letter each');
      // A receiver whose turn comes behind them has had all that came of them.
      await fleet.publish('p1');
      await until(async () => (await dead()).join() === '2,2,2', 'the next dead letters');
      const news: string[] = [];
      const [bus, signal] = [fleet.backbone.bus(namespace), AbortSignal.timeout(10_000)];
      for await (const page of bus.replay(['$hooks/#' as never], before, await bus.head(), signal))
        for (const item of page) if (item.kind === 'publication') news.push(item.value.topic);
      assert.deepEqual(news, ['$hooks/s2', '$hooks/s2']);
    });

    it('passes its slots on when it stops, and what it had in hand when it dies', async () => {
      fleet.registry.put('s', { ordered: true });
      for (let i = 0; i < 20; i++) fleet.registry.put(`u${i}`);
      const first = await fleet.worker();
      await publishAll(ids(10));
      await until(() => fleet.courier.seen('s').length === 10, 'the first ten');
      await fleet.worker();
      await publishAll(ids(10, 10));
      await first.drain(AbortSignal.timeout(5_000));
      await first.close();
      await publishAll(ids(10, 20));
      await until(() => fleet.courier.errands.length >= 21 * 30, 'all deliveries');
      assert.deepEqual([...new Set(fleet.courier.seen('s'))], ids(30));
      for (let i = 0; i < 20; i++) assert.equal(new Set(fleet.courier.seen(`u${i}`)).size, 30);
    });

    it('delivers nothing twice while slots pass on to workers that come, although lanes are long', async () => {
      const receivers = Array.from({ length: 16 }, (_, i) => `s${i}`);
      for (const id of receivers) fleet.registry.put(id, { ordered: true });
      fleet.courier.answer = async () => {
        await sleep(60); // so long that the slots pass on in the middle of it
        return delivered;
      };
      await fleet.worker();
      await publishAll(ids(50));
      await until(() => fleet.courier.errands.length >= 160, 'the lanes to be under way');
      await fleet.worker();
      await fleet.worker();
      await until(() => fleet.courier.errands.length >= 16 * 50, 'all deliveries');
      for (const id of receivers) assert.deepEqual(fleet.courier.seen(id), ids(50));
    });

    it('replays a stretch of the log', async () => {
      const before = await fleet.backbone.bus(namespace).head();
      await publishAll(ids(5));
      const after = await fleet.backbone.bus(namespace).head();
      const ref = fleet.registry.put('s', { startCursor: after });
      await fleet.worker();
      await fleet.publish('p5');
      await until(() => fleet.courier.seen('s').length === 1, 'what is new');
      await control().replay(ref, before, after);
      await until(() => fleet.courier.seen('s').length === 6, 'the stretch');
      assert.deepEqual(fleet.courier.seen('s').toSorted(), ids(6));
    });

    it('gives a delivery in order one place for all its attempts, and a replay of it another', async () => {
      const before = await fleet.backbone.bus(namespace).head();
      const ref = fleet.registry.put('fifo', { ordered: true });
      fleet.registry.put('any');
      const places = (id: string) =>
        fleet.courier.errands.filter(({ subscription }) => subscription.id === id).map(({ place }) => place);
      fleet.courier.answer = ({ attempt }) => (attempt === 1 ? failed : delivered);
      await fleet.worker();
      await fleet.publish('p0');
      await until(() => places('fifo').length === 2 && places('any').length === 2, 'two attempts of each');
      await control().replay(ref, before, await fleet.backbone.bus(namespace).head());
      await until(() => places('fifo').length === 4, 'two more');
      const [first, second, third, fourth] = places('fifo') as number[];
      assert.deepEqual([second, fourth], [first, third]);
      assert.ok((third ?? 0) > (first ?? 0));
      assert.deepEqual(places('any'), [undefined, undefined]);
    });

    it('replays no more than a lane has room for, and goes on when it has', async () => {
      const before = await fleet.backbone.bus(namespace).head();
      await publishAll(ids(15));
      const after = await fleet.backbone.bus(namespace).head();
      const state = SubscriptionState.SUBSCRIPTION_STATE_PAUSED;
      const ref = fleet.registry.put('s', { startCursor: after, state });
      await fleet.worker({ queue: 20 });
      for (let i = 0; i < 3; i++) await control().replay(ref, before, after);
      await until(async () => (await control().backlog(ref)).retrying === 3, 'all to wait for room');
      assert.equal((await control().backlog(ref)).queued, 10);
      assert.equal(fleet.registry.records.get('ns/s')?.state, state);
      fleet.registry.put('s', { startCursor: after });
      await until(() => fleet.courier.seen('s').length === 45, 'all of it');
      assert.equal(new Set(fleet.courier.seen('s')).size, 15);
    });

    it('replays a long stretch for one while others of the slot have their turn', async () => {
      const before = await fleet.backbone.bus(namespace).head();
      await publishAll(ids(600));
      const after = await fleet.backbone.bus(namespace).head();
      const state = SubscriptionState.SUBSCRIPTION_STATE_PAUSED;
      const long = fleet.registry.put('long', { startCursor: after, state });
      const other = Array.from({ length: 1_000 }, (_, i) => ({ namespace, id: `other${i}` })).find(
        (ref) => slotOf(ref) === slotOf(long),
      ) as SubscriptionRef;
      fleet.registry.put(other.id, { startCursor: after });
      await fleet.worker({ queue: 1_000_000 });
      for (let i = 0; i < 70; i++) await control().replay(long, before, after);
      await fleet.publish('p600');
      await until(() => fleet.courier.seen(other.id).length === 1, 'the delivery to another');
      assert.ok((await control().backlog(long)).queued < 70 * 600, 'before the replays are laid down');
      await until(async () => (await control().backlog(long)).queued === 70 * 600 + 1, 'all replays');
    });

    it('calls a receiver for a test, and activates a subscription whose handshake succeeds', async () => {
      const state = SubscriptionState.SUBSCRIPTION_STATE_PENDING;
      const ref = fleet.registry.put('s', { state });
      await fleet.worker();
      const attempt = await control().call(ref, 'handshake', 5_000);
      assert.equal(attempt?.verdict, 'delivered');
      assert.equal(fleet.registry.records.get('ns/s')?.state, SubscriptionState.SUBSCRIPTION_STATE_ACTIVE);
      const tested = await control().call(ref, 'test', 5_000);
      assert.equal(tested?.status, 204);
      assert.equal(fleet.courier.errands.at(-1)?.publication?.type, 'pushfleet.hook.test');
    });

    describe('of receivers without an owner', () => {
      const { SUBSCRIPTION_STATE_ACTIVE: active, SUBSCRIPTION_STATE_PENDING: pending } = SubscriptionState;
      const kind = { kind: 'websub', ownerless: true };
      const owner = { subject: 'owner', tokenId: '', issuedAt: undefined, subscribeGrants: [] };
      const asked = (why: string) => fleet.courier.errands.filter((errand) => errand.why === why);

      it('tells the receiver why its subscription was stopped, until it has heard it, and ends it', async () => {
        fleet.registry.put('s');
        let objection: string | undefined;
        await fleet.worker({}, { ...kind, objection: () => objection });
        await fleet.publish('p0');
        await until(() => fleet.courier.seen('s').length === 1, 'the delivery');
        fleet.courier.answer = () => (asked('farewell').length < 3 ? failed : delivered);
        objection = 'It is over.';
        for (const id of ids(5, 1)) await fleet.publish(id);
        await until(() => fleet.registry.ended.length > 0, 'the end');
        assert.deepEqual(fleet.registry.ended, ['s: denied']);
        const reasons = asked('farewell').map(({ reason }) => reason);
        assert.deepEqual(reasons, ['It is over.', 'It is over.', 'It is over.']);
        assert.equal(asked('publication').length, 1);
      });

      it('looks through all of them after a revocation, or when what is objected to has changed', async () => {
        fleet.registry.pageSize = 3;
        for (let i = 0; i < 10; i++)
          fleet.registry.put(`s${i}`, { authority: { ...owner, subject: `o${i}` } });
        const changed: (() => void)[] = [];
        const onChange = (on: () => void): void => void changed.push(on);
        const revoked = new Set<string>();
        let objected = '';
        await fleet.worker(
          {},
          {
            ...kind,
            standing: { namespaces: () => [namespace], onChange },
            objection: ({ id }) => (id === objected ? 'It is over.' : undefined),
            revocations: {
              revoked: ({ subject }) => revoked.has(subject),
              onRevoked: (on) => {
                changed.push(on);
                return () => {};
              },
            },
          },
        );
        revoked.add('o1').add('o8');
        changed[0]?.();
        await until(() => fleet.registry.ended.length === 2, 'the end of two');
        objected = 's5';
        changed[1]?.();
        await until(() => fleet.registry.ended.length === 3, 'the end of another');
        assert.deepEqual(fleet.registry.ended.toSorted(), ['s1: denied', 's5: denied', 's8: denied']);
        assert.deepEqual(asked('publication'), []);
        assert.equal(asked('farewell').length, 3);
      });

      it('ends it also where the receiver does not hear of it', async () => {
        fleet.registry.put('s');
        fleet.courier.answer = () => failed;
        await fleet.worker({}, { ...kind, objection: () => 'It is over.' });
        await fleet.publish('p0');
        await until(() => fleet.registry.ended.length > 0, 'the end');
        assert.equal(asked('farewell').length, 4);
      });

      it('publishes nothing of them, and keeps neither attempts nor dead letters', async () => {
        const ref = fleet.registry.put('s');
        fleet.courier.answer = () => ({ ...failed, verdict: 'rejected' });
        const before = await fleet.backbone.bus(namespace).head();
        const worker = await fleet.worker({}, kind);
        await fleet.publish('p0');
        await until(() => fleet.courier.seen('s').length === 1, 'the delivery');
        await worker.drain(AbortSignal.timeout(10_000));
        assert.equal((await control().backlog(ref)).dead, 0);
        assert.deepEqual((await control().attempts(ref, undefined, 10)).items, []);
        const [bus, signal] = [fleet.backbone.bus(namespace), AbortSignal.timeout(10_000)];
        const told: string[] = [];
        for await (const page of bus.replay(['#', '$hooks/#'] as never[], before, await bus.head(), signal))
          for (const item of page) if (item.kind === 'publication') told.push(item.value.topic);
        assert.deepEqual(told, ['a/b']);
      });

      it('goes by what the kind makes of an answer, and asks again where somebody changes the record meanwhile', async () => {
        const ref = fleet.registry.put('s', { state: pending });
        const answers: string[] = [];
        const consent: Consent = {
          isOpen: ({ description }, question) => !description.includes(question),
          agreed: (held, question) => ({
            wanted: { ...held, state: active, description: `${held.description}+${question}` },
            fields: ['state', 'description'],
          }),
          refused: (held, question) => ({
            wanted: { ...held, description: `${held.description}-${question}` },
            fields: ['description'],
          }),
        };
        fleet.courier.answer = ({ id, subscription }) => {
          answers.push(id);
          fleet.registry.put('s', { ...subscription, description: `${subscription.description}!` });
          return id === 'no' ? { ...failed, verdict: 'gone' } : delivered;
        };
        await fleet.worker({}, { ...kind, consent });
        const questions = createDeliveryControl('websub', fleet.backbone, fleet.backbone.signals, true);
        const held = () => fleet.registry.records.get('ns/s') as Subscription;
        await questions.ask(ref, 'no');
        await until(() => held().description.includes('-no'), 'the first answer');
        assert.equal(held().state, pending);
        assert.equal((await questions.call(ref, 'handshake', 5_000, 'yes'))?.verdict, 'delivered');
        assert.deepEqual([held().description, held().state], ['!-no!+yes', active]);
        assert.equal(await questions.call(ref, 'handshake', 300, 'yes'), undefined, 'it is open no more');
        assert.deepEqual(answers, ['no', 'yes']);
      });
    });

    it('waits for a subscription that cannot be opened now, without holding up the others', async () => {
      fleet.registry.put('sealed');
      fleet.registry.put('well');
      fleet.registry.sealed.add('sealed');
      await fleet.worker();
      await publishAll(ids(3));
      await until(() => fleet.courier.seen('well').length === 3, 'the deliveries of the other');
      fleet.registry.sealed.clear();
      await until(() => fleet.courier.seen('sealed').length === 3, 'what it was owed');
    });

    it('waits for the registry, and for subscriptions it has not read', async () => {
      fleet.registry.put('s');
      fleet.registry.away = true;
      await fleet.worker();
      await publishAll(ids(3));
      assert.equal(fleet.courier.errands.length, 0);
      fleet.registry.away = false;
      await until(() => fleet.courier.seen('s').length === 3, 'the deliveries');
    });
  });
