import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Ledger, LedgerEntry } from '@pushfleet/bus';
import {
  type Backbone,
  type Bus,
  type Cursor,
  type Draft,
  formatCursor,
  type Item,
  type Namespace,
  type Publication,
  PushfleetError,
  parseCursor,
  type Stored,
  type Topic,
  type TopicFilter,
} from '@pushfleet/core';
import { until } from './until.ts';

/** A started backbone with an empty log of three shards, and how to end it. */
export interface BusUnderTest {
  readonly backbone: Backbone & { ledger(name: string): Ledger };
  end(): Promise<void>;
}

const utf8 = new TextEncoder();
let drafts = 0;

/** A draft with an id of its own. */
export function draftOf(topic: string, more: Partial<Draft> = {}): Draft {
  drafts++;
  return {
    id: `id-${drafts}`,
    source: 'suite',
    topic: topic as Topic,
    contentType: 'text/plain',
    payload: utf8.encode(`payload ${drafts}`),
    ...more,
  };
}

/** Publishes one draft that must be stored. */
export async function store(bus: Bus, draft: Draft): Promise<Stored> {
  const [answer] = await bus.publish([draft]);
  if (answer === undefined || answer instanceof PushfleetError) throw answer ?? new Error('no answer');
  return answer;
}

/** What a following handed over. */
export class Seen {
  readonly publications: Publication[] = [];
  readonly gaps: Item<Publication>[] = [];

  readonly on = (item: Item<Publication>): void => {
    if (item.kind === 'gap') this.gaps.push(item);
    else this.publications.push(item.value);
  };

  get ids(): string[] {
    return this.publications.map(({ id }) => id);
  }

  ofTopic(topic: string): string[] {
    return this.publications.filter((publication) => publication.topic === topic).map(({ id }) => id);
  }
}

/** Everything of a replay, gaps apart. */
export async function replayed(
  bus: Bus,
  filters: readonly string[],
  after: Cursor,
  end: Cursor,
): Promise<{ publications: Publication[]; gaps: Item<Publication>[] }> {
  const seen = new Seen();
  for await (const items of bus.replay(filters as TopicFilter[], after, end, new AbortController().signal)) {
    for (const item of items) seen.on(item);
  }
  return seen;
}

const filter = (text: string): TopicFilter => text as TopicFilter;

/** What every backbone promises; a test file hands in how to make one. */
export function busSuite(name: string, makeBackbone: () => Promise<BusUnderTest>): void {
  describe(`${name} keeps the bus contract`, () => {
    let under: BusUnderTest;
    let namespaces = 0;
    /** A namespace of its own for each test. */
    const fresh = (): Bus => under.backbone.bus(`ns-${++namespaces}` as Namespace);

    before(async () => {
      under = await makeBackbone();
    });
    after(() => under.end());

    publishing(fresh);
    following(fresh, () => under.backbone);
    replaying(fresh);
    retaining(fresh);
    working(fresh);
    keepingLedgers(() => under.backbone.ledger('revocations'));
  });
}

function publishing(fresh: () => Bus): void {
  describe('publish', () => {
    it('is ready once started and answers an empty list', async () => {
      assert.deepEqual(await fresh().publish([]), []);
    });

    it('answers in the order of the drafts, each with a cursor of its own', async () => {
      const bus = fresh();
      const list = ['a', 'b', 'a', 'c/d', 'a'].map((topic) => draftOf(topic));
      const answers = await bus.publish(list);
      assert.deepEqual(
        answers.map((answer) => (answer as Stored).id),
        list.map(({ id }) => id),
      );
      assert.equal(new Set(answers.map((answer) => (answer as Stored).cursor)).size, list.length);
      for (const answer of answers) assert.equal((answer as Stored).duplicate, false);
    });

    it('stores an id of the same source and topic once, alone and inside a backlog', async () => {
      const bus = fresh();
      const from = await bus.head();
      const draft = draftOf('dup/t');
      await store(bus, draft);
      assert.equal((await store(bus, draft)).duplicate, true);
      const others = [draftOf('dup/t'), draft, draftOf('dup/t')];
      const answers = (await bus.publish(others)) as Stored[];
      assert.deepEqual(
        answers.map(({ duplicate }) => duplicate),
        [false, true, false],
      );
      const { publications } = await replayed(bus, ['dup/#'], from, await bus.head());
      assert.deepEqual(
        publications.map(({ id }) => id),
        [draft.id, others[0]?.id, others[2]?.id],
      );
    });

    it('does not take the same id in another topic, source or namespace for a duplicate', async () => {
      const bus = fresh();
      const draft = draftOf('same');
      await store(bus, draft);
      const others = [
        { ...draft, topic: 'other' as Topic },
        { ...draft, source: 'somebody else' },
      ];
      for (const other of others) assert.equal((await store(bus, other)).duplicate, false);
      assert.equal((await store(fresh(), draft)).duplicate, false);
    });

    it('refuses one draft of several and stores the rest', async () => {
      const bus = fresh();
      const huge = draftOf('big', { payload: new Uint8Array(2_000_000) });
      const answers = await bus.publish([draftOf('big'), huge, draftOf('big')]);
      assert.ok(answers[1] instanceof PushfleetError);
      assert.equal(answers[1].code, 'payload_too_large');
      assert.ok(!(answers[0] instanceof PushfleetError) && !(answers[2] instanceof PushfleetError));
    });

    it('keeps every field of a draft', async () => {
      const bus = fresh();
      const draft = draftOf('fields/ü/ä b', {
        id: 'an id: with % and ü',
        type: 'a type',
        origin: 'here',
        contentType: 'text/plain; charset=utf-8',
        attributes: [
          ['b', 'first\r\nsecond: line'],
          ['a=b', ' leading and trailing '],
          ['b', '𝄞 100% '],
          ['empty', ''],
        ],
        expiresAt: Date.now() + 600_000,
        retain: true,
        payload: Uint8Array.of(0, 1, 2, 255),
      });
      const from = await bus.head();
      await store(bus, draft);
      const { publications } = await replayed(bus, ['#'], from, await bus.head());
      const [{ time, shard, sequence, payload, ...rest }] = publications as [Publication];
      const { payload: sent, ...wanted } = draft;
      assert.deepEqual(rest, wanted);
      assert.deepEqual([...payload], [...sent]);
      assert.ok(Math.abs(time - Date.now()) < 60_000 && shard >= 0 && sequence > 0);
    });

    it('keeps the order of each topic however many publish calls run at once', async () => {
      const bus = fresh();
      const from = await bus.head();
      const wanted = new Map<string, string[]>();
      const calls = [];
      for (let i = 0; i < 1_200; i++) {
        const draft = draftOf(`order/${i % 7}`);
        wanted.set(draft.topic, [...(wanted.get(draft.topic) ?? []), draft.id]);
        calls.push(bus.publish([draft]));
      }
      for (const answers of await Promise.all(calls)) assert.ok(!(answers[0] instanceof PushfleetError));
      const { publications } = await replayed(bus, ['order/+'], from, await bus.head());
      for (const [topic, ids] of wanted) {
        const got = publications.filter((publication) => publication.topic === topic).map(({ id }) => id);
        assert.deepEqual(got, ids);
      }
    });
  });
}

function following(fresh: () => Bus, backbone: () => Backbone): void {
  describe('follow', () => {
    it('hands over what matches, once however many filters match, in order per topic', async () => {
      const bus = fresh();
      const seen = new Seen();
      const live = bus.follow(seen.on);
      await Promise.all(['a/#', 'a/+', 'a/b', '#'].map((text) => live.add(filter(text))));
      const sent = ['a', 'a/b', 'a/b', 'a/b/c', 'x', 'a/b'].map((topic) => draftOf(topic));
      await bus.publish(sent);
      await until(() => seen.ids.length >= sent.length, 'all live publications');
      assert.deepEqual(seen.ids.toSorted(), sent.map(({ id }) => id).toSorted());
      const ofTopic = sent.filter(({ topic }) => topic === 'a/b').map(({ id }) => id);
      assert.deepEqual(seen.ofTopic('a/b'), ofTopic);
      live.stop();
    });

    it('stops with a removed filter, unless another matches', async () => {
      const bus = fresh();
      const seen = new Seen();
      const live = bus.follow(seen.on);
      await live.add(filter('a/#'));
      await live.add(filter('b'));
      live.remove(filter('a/#'));
      const [, , wanted] = [draftOf('a'), draftOf('a/b'), draftOf('b')].map((draft) => draft);
      await bus.publish([draftOf('a'), draftOf('a/b')]);
      await store(bus, wanted as Draft);
      await until(() => seen.ids.length > 0, 'the publication of the filter left');
      await sleep(50);
      assert.deepEqual(seen.ids, [wanted?.id]);
      await live.add(filter('a/#'));
      const again = await store(bus, draftOf('a'));
      await until(() => seen.ids.includes(again.id), 'the filter added again');
      live.stop();
    });

    it('keeps topics that begin with $ from filters that begin with a wildcard', async () => {
      const bus = fresh();
      const seen = new Seen();
      const live = bus.follow(seen.on);
      await live.add(filter('#'));
      await live.add(filter('+/x'));
      const reserved = new Seen();
      const open = bus.follow(reserved.on);
      await open.add(filter('$fleet/#'));
      await store(bus, draftOf('$fleet/x'));
      await store(bus, draftOf('plain/x'));
      await until(() => seen.ids.length === 1 && reserved.ids.length === 1, 'one publication for each');
      assert.deepEqual(
        [seen.publications[0]?.topic, reserved.publications[0]?.topic],
        ['plain/x', '$fleet/x'],
      );
      live.stop();
      open.stop();
    });

    it('never crosses a namespace', async () => {
      const [one, other] = [fresh(), fresh()];
      const seen = new Seen();
      const live = one.follow(seen.on);
      await live.add(filter('#'));
      const from = await one.head();
      await store(other, draftOf('t', { retain: true }));
      const own = await store(one, draftOf('t'));
      await until(() => seen.ids.length > 0, 'the own publication');
      assert.deepEqual(seen.ids, [own.id]);
      const { publications } = await replayed(one, ['#'], from, await one.head());
      assert.deepEqual(
        publications.map(({ id }) => id),
        [own.id],
      );
      assert.deepEqual(await allRetained(one, '#'), []);
      live.stop();
    });

    it('loses nothing stored after the place that add returns, while others publish', async () => {
      const bus = fresh();
      let go = true;
      const publishers = [0, 1, 2].map(async (publisher) => {
        while (go) await bus.publish([draftOf(`fence/${publisher}`), draftOf(`fence/${publisher}`)]);
      });
      for (let round = 0; round < 20; round++) {
        const seen = new Seen();
        const live = bus.follow(seen.on);
        const place = await live.add(filter(round % 2 === 0 ? 'fence/#' : 'fence/1'));
        await sleep(10);
        const head = await bus.head();
        const joined = formatCursor(place);
        const { publications } = await replayed(bus, [round % 2 === 0 ? 'fence/#' : 'fence/1'], joined, head);
        const missing = () => publications.filter(({ id }) => !seen.ids.includes(id));
        await until(() => missing().length === 0, `round ${round}: all stored after the fence`);
        assert.equal(new Set(seen.ids).size, seen.ids.length);
        live.stop();
      }
      go = false;
      await Promise.all(publishers);
    });

    it('moves its place past everything it handed over', async () => {
      const bus = fresh();
      const seen = new Seen();
      const live = bus.follow(seen.on);
      await live.add(filter('#'));
      await bus.publish([draftOf('p'), draftOf('q'), draftOf('r')]);
      await until(() => seen.ids.length === 3, 'three publications');
      for (const { shard, sequence } of seen.publications) {
        assert.ok((live.place.positions[shard] ?? 0) >= sequence);
      }
      const after = formatCursor({ ...live.place, positions: [...live.place.positions] });
      const { publications } = await replayed(bus, ['#'], after, await bus.head());
      // Publications of other shards may come once more; those behind the place may not be missing.
      assert.ok(publications.every(({ id }) => seen.ids.includes(id)));
      live.stop();
    });

    it('gives the same bus for the same namespace', () => {
      assert.equal(backbone().bus('same' as Namespace), backbone().bus('same' as Namespace));
    });
  });
}

function replaying(fresh: () => Bus): void {
  describe('replay', () => {
    it('reads the stretch between two cursors, and nothing outside it', async () => {
      const bus = fresh();
      await bus.publish([draftOf('r/1'), draftOf('r/2')]);
      const from = await bus.head();
      const wanted = Array.from({ length: 600 }, (_, i) => draftOf(`r/${i % 5}`));
      await bus.publish(wanted);
      const end = await bus.head();
      await bus.publish([draftOf('r/1'), draftOf('r/2')]);
      const { publications, gaps } = await replayed(bus, ['r/#'], from, end);
      assert.deepEqual(publications.map(({ id }) => id).toSorted(), wanted.map(({ id }) => id).toSorted());
      assert.deepEqual(gaps, []);
    });

    it('gives a publication once for many filters, overlapping or not, in order per topic', async () => {
      const bus = fresh();
      const from = await bus.head();
      const sent = Array.from({ length: 900 }, (_, i) => draftOf(`m/${i % 30}/x`));
      await bus.publish(sent);
      const end = await bus.head();
      const few = ['m/1/#', 'm/+/x', 'm/2/x'];
      const many = Array.from({ length: 200 }, (_, i) => `m/${i}/x`);
      const apart = Array.from({ length: 5 }, (_, i) => `m/${i}/x`);
      for (const [filters, count] of [
        [few, 900],
        [many, 900],
        [apart, 150],
      ] as const) {
        const { publications } = await replayed(bus, filters, from, end);
        assert.equal(publications.length, count);
        assert.equal(new Set(publications.map(({ id }) => id)).size, count);
        for (let i = 0; i < 5; i++) {
          const ids = publications.filter(({ topic }) => topic === `m/${i}/x`).map(({ id }) => id);
          assert.deepEqual(
            ids,
            sent.filter(({ topic }) => topic === `m/${i}/x`).map(({ id }) => id),
          );
        }
      }
    });

    it('does not let # reach $ topics, alone or beside others', async () => {
      const bus = fresh();
      const from = await bus.head();
      const [plain, reserved] = [draftOf('z'), draftOf('$z')];
      await bus.publish([plain, reserved]);
      const ids = async (filters: string[]) =>
        (await replayed(bus, filters, from, await bus.head())).publications.map(({ id }) => id).toSorted();
      assert.deepEqual(await ids(['#']), [plain.id]);
      assert.deepEqual(await ids(['+', 'y/#', 'x']), [plain.id]);
      assert.deepEqual(await ids(['$z', '#']), [plain.id, reserved.id].toSorted());
    });

    it('resumes from the cursor of a publish, whose other shards are absent', async () => {
      const bus = fresh();
      const first = await store(bus, draftOf('s/0'));
      const rest = Array.from({ length: 40 }, (_, i) => draftOf(`s/${i}`));
      await bus.publish(rest);
      const { publications } = await replayed(bus, ['s/#'], first.cursor, await bus.head());
      const ids = new Set(publications.map(({ id }) => id));
      for (const { id } of rest) assert.ok(ids.has(id), `${id} is missing`);
    });

    it('tells a gap for a cursor of another generation, and goes on behind it', async () => {
      const bus = fresh();
      const head = parseCursor(await bus.head());
      const foreign = formatCursor({ ...head, generation: 'zzz', time: Date.now() - 5_000 });
      const draft = draftOf('g');
      await store(bus, draft);
      const { publications, gaps } = await replayed(bus, ['g'], foreign, await bus.head());
      assert.equal(gaps.length, 1);
      assert.ok(publications.some(({ id }) => id === draft.id));
    });

    it('tells a gap for a position beyond the head', async () => {
      const bus = fresh();
      const head = parseCursor(await bus.head());
      const beyond = head.positions.map((position) => (position ?? 0) + 1_000_000);
      const { gaps } = await replayed(
        bus,
        ['#'],
        formatCursor({ ...head, positions: beyond }),
        await bus.head(),
      );
      assert.equal(gaps.length, 1);
    });

    it('refuses text that is no cursor', async () => {
      const bus = fresh();
      await assert.rejects(replayed(bus, ['#'], 'nonsense' as Cursor, await bus.head()), {
        code: 'cursor_invalid',
      });
    });

    it('stops at the signal', async () => {
      const bus = fresh();
      const from = await bus.head();
      await bus.publish(Array.from({ length: 800 }, () => draftOf('stop')));
      const stop = new AbortController();
      let batches = 0;
      for await (const _ of bus.replay([filter('stop')], from, await bus.head(), stop.signal)) {
        batches++;
        stop.abort();
      }
      assert.equal(batches, 1);
    });
  });
}

async function allRetained(bus: Bus, text: string): Promise<Publication[]> {
  const found: Publication[] = [];
  for await (const page of bus.retained(filter(text), new AbortController().signal)) found.push(...page);
  return found;
}

function retaining(fresh: () => Bus): void {
  describe('retained', () => {
    it('is the newest of each topic, acknowledged only once it is kept', async () => {
      const bus = fresh();
      await bus.publish([draftOf('k/a', { retain: true }), draftOf('k/b'), draftOf('k/a', { retain: true })]);
      const last = await store(bus, draftOf('k/a', { retain: true }));
      const c = await store(bus, draftOf('k/c/d', { retain: true }));
      await store(bus, draftOf('k/a'));
      const found = await allRetained(bus, 'k/#');
      assert.deepEqual(found.map(({ id }) => id).toSorted(), [last.id, c.id].toSorted());
      assert.ok(found.every(({ retain, sequence }) => retain === true && sequence > 0));
      assert.deepEqual(
        (await allRetained(bus, 'k/+')).map(({ id }) => id),
        [last.id],
      );
      assert.deepEqual(
        (await allRetained(bus, 'k/a')).map(({ id }) => id),
        [last.id],
      );
    });

    it('is cleared by an empty payload, and stays so when the older one comes again', async () => {
      const bus = fresh();
      const older = draftOf('k', { retain: true });
      await store(bus, older);
      await store(bus, draftOf('k', { retain: true, payload: new Uint8Array() }));
      assert.deepEqual(await allRetained(bus, '#'), []);
      assert.equal((await store(bus, older)).duplicate, true);
      assert.deepEqual(await allRetained(bus, '#'), []);
    });

    it('is the last of the log when many publish at once', async () => {
      const bus = fresh();
      const from = await bus.head();
      await Promise.all(Array.from({ length: 60 }, () => bus.publish([draftOf('race', { retain: true })])));
      const { publications } = await replayed(bus, ['race'], from, await bus.head());
      assert.deepEqual(
        (await allRetained(bus, 'race')).map(({ id }) => id),
        [publications.at(-1)?.id],
      );
    });

    it('gives more than a broker answers at once', async () => {
      const bus = fresh();
      await bus.publish(Array.from({ length: 1_100 }, (_, i) => draftOf(`many/${i}`, { retain: true })));
      assert.equal(new Set((await allRetained(bus, 'many/+')).map(({ topic }) => topic)).size, 1_100);
    });
  });
}

function working(fresh: () => Bus): void {
  describe('work', () => {
    it('hands each publication to one member, and again until the verdict is done', async () => {
      const bus = fresh();
      const seen: string[] = [];
      const options = { concurrency: 4, orderedByTopic: false };
      const work = (publication: Publication) => {
        seen.push(publication.id);
        const first = seen.filter((id) => id === publication.id).length === 1;
        return Promise.resolve(
          first && publication.topic === 'w/again' ? { retryMs: 10 } : ('done' as const),
        );
      };
      const members = [await bus.work('g', filter('w/#'), options, work)];
      members.push(await bus.work('g', filter('w/#'), options, work));
      const sent = Array.from({ length: 30 }, (_, i) => draftOf(i === 7 ? 'w/again' : `w/${i}`));
      await bus.publish([...sent, draftOf('elsewhere')]);
      await until(() => seen.length >= 31, 'thirty publications, one of them twice');
      await sleep(50);
      assert.equal(seen.length, 31);
      assert.deepEqual([...new Set(seen)].toSorted(), sent.map(({ id }) => id).toSorted());
      for (const member of members) await member.stop();
    });

    it('gives up on a dead publication', async () => {
      const bus = fresh();
      let calls = 0;
      const options = { concurrency: 1, orderedByTopic: false };
      const member = await bus.work('dead', filter('#'), options, (publication) => {
        if (publication.topic === 'd') calls++;
        return Promise.resolve({ dead: 'of no use' });
      });
      await bus.publish([draftOf('d'), draftOf('e')]);
      await until(() => calls === 1, 'the one call');
      await sleep(50);
      assert.equal(calls, 1);
      await member.stop();
    });

    it('gives a publication again after the work threw', async () => {
      const bus = fresh();
      let calls = 0;
      const member = await bus.work(
        'throws',
        filter('#'),
        { concurrency: 1, orderedByTopic: false },
        async () => {
          if (++calls === 1) throw new Error('on purpose');
          return 'done';
        },
      );
      await store(bus, draftOf('t'));
      await until(() => calls === 2, 'the second call');
      await member.stop();
    });

    it('hands out one topic in order and one at a time where asked, within its concurrency', async () => {
      const bus = fresh();
      const seen = new Map<string, string[]>();
      let most = 0;
      const busy = new Map<string, number>();
      let failed = false;
      const work = async ({ topic, id }: Publication) => {
        busy.set(topic, (busy.get(topic) ?? 0) + 1);
        assert.equal(busy.get(topic), 1, `${topic} is in hand twice`);
        most = Math.max(
          most,
          [...busy.values()].reduce((sum, count) => sum + count, 0),
        );
        await sleep(1);
        busy.set(topic, 0);
        if (topic === 'o/1' && !failed) {
          failed = true;
          return { retryMs: 30 };
        }
        seen.set(topic, [...(seen.get(topic) ?? []), id]);
        return 'done' as const;
      };
      const options = { concurrency: 3, orderedByTopic: true };
      const members = [await bus.work('ordered', filter('o/#'), options, work)];
      members.push(await bus.work('ordered', filter('o/#'), options, work));
      const sent = Array.from({ length: 60 }, (_, i) => draftOf(`o/${i % 4}`));
      await bus.publish(sent);
      const count = () => [...seen.values()].reduce((sum, ids) => sum + ids.length, 0);
      await until(() => count() === 60, 'sixty publications');
      for (const [topic, ids] of seen) {
        assert.deepEqual(
          ids,
          sent.filter((draft) => draft.topic === topic).map(({ id }) => id),
        );
      }
      assert.ok(most <= 6, `${most} were in hand`);
      for (const member of members) await member.stop();
    });

    it('keeps what comes while no member is there', async () => {
      const bus = fresh();
      const options = { concurrency: 2, orderedByTopic: false };
      const first = await bus.work('durable', filter('#'), options, () => Promise.resolve('done'));
      await first.stop();
      const { id } = await store(bus, draftOf('later'));
      const seen: string[] = [];
      const second = await bus.work('durable', filter('#'), options, (publication) => {
        seen.push(publication.id);
        return Promise.resolve('done');
      });
      await until(() => seen.includes(id), 'what came meanwhile');
      await second.stop();
    });
  });
}

function keepingLedgers(ledgerOf: () => Ledger): void {
  describe('ledger', () => {
    const value = (text: string) => utf8.encode(text);
    const textOf = (bytes: Uint8Array | undefined) => new TextDecoder().decode(bytes);

    it('keeps the last value of a key, changed by compare-and-set', async () => {
      const ledger = ledgerOf();
      const key = 'a key/with.dots and ü';
      assert.equal(await ledger.get(key), undefined);
      const first = await ledger.put(key, value('1'), { ifRevision: 0 });
      await assert.rejects(ledger.put(key, value('x'), { ifRevision: 0 }), { code: 'conflict' });
      const second = await ledger.put(key, value('2'), { ifRevision: first });
      assert.ok(second > first);
      await assert.rejects(ledger.put(key, value('x'), { ifRevision: first }), { code: 'conflict' });
      const held = await ledger.get(key);
      assert.deepEqual([textOf(held?.value), held?.revision], ['2', second]);
      await assert.rejects(ledger.delete(key, { ifRevision: first }), { code: 'conflict' });
      await ledger.delete(key, { ifRevision: second });
      assert.equal(await ledger.get(key), undefined);
      assert.ok((await ledger.put(key, value('3'), { ifRevision: 0 })) > second);
    });

    it('hands a watcher what there is, then every change', async () => {
      const ledger = ledgerOf();
      await ledger.put('watch/a', value('1'));
      await ledger.put('watch/b', value('1'));
      await ledger.put('watch/gone', value('1'));
      await ledger.delete('watch/gone');
      await ledger.put('other', value('1'));
      const entries: LedgerEntry[] = [];
      const watch = await ledger.watch((entry) => entries.push(entry), { prefix: 'watch/' });
      assert.deepEqual(entries.map(({ key }) => key).toSorted(), ['watch/a', 'watch/b']);
      await ledger.put('watch/a', value('2'));
      await ledger.delete('watch/b');
      await until(() => entries.length === 4, 'two changes');
      const [changed, deleted] = entries.slice(2);
      assert.deepEqual([changed?.key, textOf(changed?.value)], ['watch/a', '2']);
      assert.deepEqual([deleted?.key, deleted?.value], ['watch/b', undefined]);
      watch.stop();
      await ledger.put('watch/a', value('3'));
      await sleep(30);
      assert.equal(entries.length, 4);
    });

    it('lets an entry end', async () => {
      const ledger = ledgerOf();
      const entries: LedgerEntry[] = [];
      const watch = await ledger.watch((entry) => entries.push(entry), { prefix: 'ttl' });
      await ledger.put('ttl', value('1'), { ttlMs: 1_000 });
      assert.notEqual(await ledger.get('ttl'), undefined);
      await until(async () => (await ledger.get('ttl')) === undefined, 'the end of the entry');
      watch.stop();
    });
  });
}
