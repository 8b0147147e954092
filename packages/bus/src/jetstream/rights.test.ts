import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { type NatsCluster, startNats, until } from '@pushfleet/contract';
import { draftOf, replayed, Seen, store } from '@pushfleet/contract/bus-suite';
import type { Lent, Namespace, Publication, Topic, TopicFilter } from '@pushfleet/core';
import { connectJetStream } from './backbone.ts';
import { migrate } from './migrate.ts';
import { testStreams } from './testing.ts';

/** The permissions as the operations page writes them, in nats-server's own language. */
function documentedRights(): { service: string; publish: string; webhook: string; websub: string } {
  const page = readFileSync(new URL('../../../../docs/operations.md', import.meta.url), 'utf8');
  const section = /\n## Rights on NATS\n(.*?)\n## /s.exec(page)?.[1] ?? '';
  const blocks = [...section.matchAll(/```hcl\n(.*?)```/gs)].map(([, block]) => block ?? '');
  const [service = '', ...delivering] = blocks;
  const more = section.match(/(?<=`)"[^"`]+"(?=`)/g) ?? [];
  assert.deepEqual([blocks.length, more.length], [3, 2]);
  const and = (subjects: string) => service.replace('publish = [', `publish = [\n${subjects},`);
  const listed = (block: string): string => (/\[(.*)\]/s.exec(block)?.[1] ?? '').trim();
  const [webhook = '', websub = ''] = delivering.map((block) => and(listed(block)));
  return { service, publish: and(more.join(',')), webhook, websub };
}

describe('with the rights that the operations page names', () => {
  let nats: NatsCluster;
  before(async () => {
    const { service, publish, webhook, websub } = documentedRights();
    nats = await startNats({
      config: `authorization { users = [
        { user: migrate, password: p }
        { user: service, password: p, permissions: {
${service}} }
        { user: publish, password: p, permissions: {
${publish}} }
        { user: webhook, password: p, permissions: {
${webhook}} }
        { user: websub, password: p, permissions: {
${websub}} }
      ] }`,
    });
    await migrate({ servers: as('migrate'), ...testStreams });
  });
  after(() => nats.stop());

  const as = (user: string): string => nats.url.replace('//', `//${user}:p@`);

  async function connected(user: string) {
    const refused: object[] = [];
    const log = { info() {}, warn: (fields: object) => refused.push(fields), error() {} };
    const backbone = connectJetStream({ servers: as(user), name: user, log });
    await backbone.start();
    return { backbone, bus: backbone.bus('rights' as Namespace), refused };
  }

  it('every service works, and only publish deletes', async () => {
    const service = await connected('service');
    const publish = await connected('publish');
    const seen = new Seen();
    const live = service.bus.follow(seen.on);
    await live.add('#' as TopicFilter);
    const from = await service.bus.head();
    const { id, cursor } = await store(publish.bus, draftOf('t', { retain: true }));
    await until(() => seen.ids.includes(id), 'it live');
    const found = await service.bus.find('t' as Topic, cursor);
    assert.equal(found?.id, id);
    assert.equal((await service.bus.at([found as Publication]))[0]?.id, id);
    assert.equal((await replayed(service.bus, ['#'], from, await service.bus.head())).publications.length, 1);
    for await (const page of service.bus.retained('#' as TopicFilter, new AbortController().signal)) {
      assert.equal(page[0]?.id, id);
    }
    const heard = new Set<unknown>();
    const ledger = service.backbone.ledger('revocations');
    const watching = await ledger.watch(({ key }) => heard.add(key));
    await ledger.put('k', new Uint8Array(1));
    service.backbone.signals.answer('q', () => 'answer');
    service.backbone.signals.hear('s', (value) => heard.add(value));
    // One that is told before the server knows who hears it is nobody's.
    await until(() => {
      publish.backbone.signals.tell('s', 'signal');
      return heard.has('signal');
    }, 'the signal');
    await publish.backbone.signals.ask('q', {}, 20_000, (answer) => {
      heard.add(answer);
      return true;
    });
    await until(() => heard.size === 3, 'the ledger and the answer');
    const worked: string[] = [];
    const options = { concurrency: 1, orderedByTopic: false };
    const member = await service.bus.work('g', '#' as TopicFilter, options, async (publication) => {
      worked.push(publication.id);
      return 'done';
    });
    await until(() => worked.includes(id), 'the work');
    await service.bus.openGroup('shared', '#' as TopicFilter);
    const lent: string[] = [];
    const take = (one: Lent): void => {
      lent.push(one.publication.id);
      one.done();
    };
    const gone = new Promise<void>((resolve) => {
      const share = service.bus.share('shared', take, resolve);
      share.want(2);
    });
    const shared = await store(publish.bus, draftOf('shared'));
    await until(() => lent.includes(shared.id), 'what is shared');
    await service.bus.closeGroup('shared');
    await gone;
    assert.deepEqual([service.refused, publish.refused], [[], []]);
    assert.equal((await publish.bus.delete('t' as Topic, cursor)).count, 1);
    await store(publish.bus, draftOf('t'));
    assert.equal((await publish.bus.delete('t' as Topic)).count, 1);
    assert.deepEqual(publish.refused, []);
    await member.stop();
    watching.stop();
    live.stop();
    await service.backbone.close();
    await publish.backbone.close();
  });

  for (const [kind, cleared, owed] of [
    ['webhook', ['lanes', 'dead'], 'owed'],
    ['websub', ['websub_lanes'], 'websub_owed'],
  ] as const)
    it(`who delivers (${kind}) reads the whole log, and keeps, takes and clears what it owes`, async () => {
      const { backbone, bus, refused } = await connected(kind);
      const tailed: string[] = [];
      const reading = await backbone.tail(kind).read(0, async (batch) => {
        tailed.push(...batch.map(({ publication }) => publication.id));
      });
      const { id } = await store(bus, draftOf('t'));
      await until(() => tailed.includes(id), 'the publication');
      await reading.stop();
      assert.equal(await backbone.tail(kind).behind(), 0);
      for (const name of cleared) {
        const shelf = backbone.shelf(name);
        const [first, second] = await shelf.append(
          [1, 2, 3].map(() => ({ key: 'k', body: new Uint8Array(1) })),
        );
        assert.equal((await shelf.get(first ?? 0))?.key, 'k');
        await shelf.remove([first ?? 0]);
        assert.equal((await shelf.read('k', 0, 5)).length, 2);
        assert.equal((await shelf.newest('k', undefined, 5)).at(-1)?.sequence, second);
        assert.equal((await shelf.keys('#')).get('k'), 2);
        assert.equal(await shelf.clear('k'), 2);
      }
      if (kind === 'webhook') {
        await backbone.shelf('attempts').append([{ key: 'k', body: new Uint8Array(1) }]);
        assert.equal(await backbone.shelf('attempts').clear('k'), 1);
      }
      const [place] = await backbone.shelf(owed).append([{ key: 'k', body: new Uint8Array(1) }]);
      assert.equal((await backbone.shelf(owed).get(place ?? 0))?.key, 'k');
      const queue = backbone.queue(kind);
      const body = new Uint8Array(1);
      const soon = { slot: 3, key: 'k', at: Date.now() + 60_000, body };
      await queue.later([soon, { ...soon, key: 'l', at: Date.now() + 1_000 }]);
      await queue.cancel(3, 'k');
      assert.equal(await queue.appointments(3, 'k'), 0);
      let taken = 0;
      const owner = await queue.own(3, 10, (entry) => {
        taken++;
        entry.done();
      });
      await queue.put([{ slot: 3, id: 'e', body }]);
      await until(() => taken === 2, 'the entry and the appointment');
      await owner.stop();
      if (kind === 'websub') {
        const feeds = backbone.queue('feeds');
        const fetching = await feeds.own(0, 1, (entry) => {
          taken++;
          entry.done();
        });
        await feeds.later([{ slot: 0, key: 'feed', at: Date.now(), body }]);
        await until(() => taken === 3, 'the feed');
        await fetching.stop();
        await backbone.ledger('feeds').put('feed', body, { ifRevision: 0 });
      }
      const records = backbone.ledger('subscriptions');
      await records.put(kind, new Uint8Array(1), { ifRevision: 0 });
      assert.ok((await records.read()).head > 0);
      assert.deepEqual(refused, []);
      await backbone.close();
    });
});
