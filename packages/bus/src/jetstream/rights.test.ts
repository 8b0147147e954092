import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { type NatsCluster, startNats, until } from '@pushfleet/contract';
import { draftOf, replayed, Seen, store } from '@pushfleet/contract/bus-suite';
import type { Namespace, Topic, TopicFilter } from '@pushfleet/core';
import { connectJetStream } from './backbone.ts';
import { migrate } from './migrate.ts';
import { testStreams } from './testing.ts';

/** The permissions as the operations page writes them, in nats-server's own language. */
function documentedRights(): { service: string; publish: string } {
  const page = readFileSync(new URL('../../../../docs/operations.md', import.meta.url), 'utf8');
  const section = /\n## Rights on NATS\n(.*?)\n## /s.exec(page)?.[1] ?? '';
  const service = /```hcl\n(.*?)```/s.exec(section)?.[1] ?? '';
  const more = section.match(/(?<=`)"[^"`]+"(?=`)/g) ?? [];
  assert.equal(more.length, 2);
  return { service, publish: service.replace('publish = [', `publish = [\n${more.join(',')},`) };
}

describe('with the rights that the operations page names', () => {
  let nats: NatsCluster;
  before(async () => {
    const { service, publish } = documentedRights();
    nats = await startNats({
      config: `authorization { users = [
        { user: migrate, password: p }
        { user: service, password: p, permissions: {
${service}} }
        { user: publish, password: p, permissions: {
${publish}} }
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
    assert.equal((await service.bus.find('t' as Topic, cursor))?.id, id);
    assert.equal((await replayed(service.bus, ['#'], from, await service.bus.head())).publications.length, 1);
    for await (const page of service.bus.retained('#' as TopicFilter, new AbortController().signal)) {
      assert.equal(page[0]?.id, id);
    }
    const heard: unknown[] = [];
    const ledger = service.backbone.ledger('revocations');
    const watching = await ledger.watch(({ key }) => heard.push(key));
    await ledger.put('k', new Uint8Array(1));
    service.backbone.signals.hear('s', (value) => heard.push(value));
    publish.backbone.signals.tell('s', 'signal');
    service.backbone.signals.answer('q', () => 'answer');
    await publish.backbone.signals.ask('q', {}, 20_000, (answer) => heard.push(answer) > 0);
    await until(() => heard.length === 3, 'the ledger, the signal and the answer');
    const worked: string[] = [];
    const options = { concurrency: 1, orderedByTopic: false };
    const member = await service.bus.work('g', '#' as TopicFilter, options, async (publication) => {
      worked.push(publication.id);
      return 'done';
    });
    await until(() => worked.includes(id), 'the work');
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
});
