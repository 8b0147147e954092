import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type NatsCluster, startNats, until } from '@pushfleet/contract';
import { draftOf, store } from '@pushfleet/contract/bus-suite';
import type { Namespace, TopicFilter, Verdict } from '@pushfleet/core';
import { connectJetStream, type JetStreamBackbone } from './backbone.ts';
import { migrate } from './migrate.ts';
import { testStreams } from './testing.ts';
import { Hands } from './work-hands.ts';

const namespace = 'ns' as Namespace;
const all = '#' as TopicFilter;

describe('a work group on JetStream', () => {
  let nats: NatsCluster;
  before(async () => {
    nats = await startNats();
    await migrate({ servers: nats.url, ...testStreams });
  });
  after(() => nats.stop());

  const connected = async (): Promise<JetStreamBackbone> => {
    const backbone = connectJetStream({ servers: nats.url, name: 'work', work: { leaseMs: 1_000 } });
    await backbone.start();
    return backbone;
  };

  it('begins with the oldest publication there is', async () => {
    const backbone = await connected();
    const bus = backbone.bus(namespace);
    const { id } = await store(bus, draftOf('old'));
    const seen: string[] = [];
    const member = await bus.work(
      'begin',
      all,
      { concurrency: 1, orderedByTopic: false },
      async (publication) => {
        seen.push(publication.id);
        return 'done';
      },
    );
    await until(() => seen.includes(id), 'a publication older than the group');
    await member.stop();
    await backbone.close();
  });

  it('gives what a member that vanished had in hand to another, once the lease is over and no sooner', async () => {
    const [one, other] = [await connected(), await connected()];
    const options = { concurrency: 1, orderedByTopic: false };
    let taken = 0;
    const lost = one.bus('lease' as Namespace);
    await lost.work('g', all, options, (_, lease) => {
      taken = Date.now();
      const extending = setInterval(() => lease.extend(), 300);
      setTimeout(() => {
        clearInterval(extending);
        void one.close();
      }, 1_500);
      return new Promise<Verdict>(() => {});
    });
    await store(lost, draftOf('t'));
    await until(() => taken > 0, 'the first member to take it');
    let again = 0;
    const member = await other.bus('lease' as Namespace).work('g', all, options, async () => {
      again = Date.now();
      return 'done';
    });
    await until(() => again > 0, 'the second member to get it');
    assert.ok(
      again - taken > 1_500,
      `it came again after ${again - taken} ms, though its lease was extended`,
    );
    await member.stop();
    await other.close();
  });

  it('passes the ordered work of a member that stopped on to the next', async () => {
    const [one, other] = [await connected(), await connected()];
    const options = { concurrency: 2, orderedByTopic: true };
    const seen: string[] = [];
    const work = async (publication: { id: string }): Promise<Verdict> => {
      seen.push(publication.id);
      return 'done';
    };
    const place = 'pinned' as Namespace;
    const members = await Promise.all(
      [one, other].map((backbone) => backbone.bus(place).work('g', all, options, work)),
    );
    const first = await store(one.bus(place), draftOf('t'));
    await until(() => seen.includes(first.id), 'the first publication');
    await members[0]?.stop();
    await one.close();
    const second = await store(other.bus(place), draftOf('t'));
    await until(() => seen.includes(second.id), 'the publication after the stop');
    await members[1]?.stop();
    await other.close();
  });

  it('comes back after the server was killed', async () => {
    const backbone = await connected();
    const bus = backbone.bus('back' as Namespace);
    const seen = new Set<string>();
    const member = await bus.work('g', all, { concurrency: 4, orderedByTopic: false }, async ({ id }) => {
      seen.add(id);
      return 'done';
    });
    await store(bus, draftOf('t'));
    await until(() => seen.size === 1, 'the first publication');
    await nats.servers[0]?.kill('SIGKILL');
    await nats.servers[0]?.restart();
    await until(() => backbone.ready, 'the return');
    const { id } = await store(bus, draftOf('t'));
    await until(() => seen.has(id), 'the publication after the return');
    await member.stop();
    await backbone.close();
  });

  it('keeps a ledger watcher fed over the death of the server', async () => {
    const backbone = await connected();
    const ledger = backbone.ledger('revocations');
    const keys: string[] = [];
    const watch = await ledger.watch(({ key }) => keys.push(key));
    await ledger.put('before', new Uint8Array(1));
    await until(() => keys.includes('before'), 'the first change');
    await nats.servers[0]?.kill('SIGKILL');
    await nats.servers[0]?.restart();
    await until(() => backbone.ready, 'the return');
    await ledger.put('after', new Uint8Array(1));
    await until(() => keys.includes('after'), 'the change after the return');
    assert.deepEqual(keys, ['before', 'after']);
    watch.stop();
    await backbone.close();
  });
});

describe('hands', () => {
  it('let another topic pass one that waits for its retry, and give back what waits when stopped', async () => {
    const hands = new Hands(2, true, 10_000);
    const log: string[] = [];
    const task = (name: string, topic: string, answers: (number | undefined)[]) => ({
      topic,
      extend: () => log.push(`${name} extended`),
      work: async () => {
        log.push(name);
        await sleep(1);
        return answers.shift();
      },
      drop: () => {
        log.push(`${name} dropped`);
        return undefined;
      },
    });
    await hands.take(task('a1', 'a', [60_000, undefined]));
    await hands.take(task('a2', 'a', [undefined]));
    await hands.take(task('b1', 'b', [undefined]));
    await until(() => log.includes('b1'), 'the other topic');
    assert.ok(!log.includes('a2'));
    await hands.stop();
    assert.deepEqual(log.slice(-2), ['a1 dropped', 'a2 dropped']);
  });
});
