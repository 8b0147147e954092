import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Bus, Lent, Namespace, Share } from '@pushfleet/core';
import { until } from '../until.ts';
import { draftOf, filter, store } from './tools.ts';
import type { BusUnderTest } from './under-test.ts';

/** A lease that a test can wait for. */
export const suiteGroupTerms = { leaseMs: 1_500 };

const drafts = (count: number, topic: string) => Array.from({ length: count }, () => draftOf(topic));

/** A member, what it was handed, and what it does with it. */
class Hands {
  readonly lent: Lent[] = [];
  gone = 0;
  readonly share: Share;

  constructor(bus: Bus, group: string, act: (lent: Lent, hands: Hands) => void = () => {}) {
    const on = (lent: Lent): void => {
      this.lent.push(lent);
      act(lent, this);
    };
    this.share = bus.share(group, on, () => this.gone++);
  }

  get ids(): string[] {
    return this.lent.map(({ publication }) => publication.id);
  }
}

const done = (lent: Lent, { share }: Hands): void => {
  lent.done();
  share.want(5);
};

const all = (...hands: Hands[]): string[] => hands.flatMap(({ ids }) => ids).toSorted();

export function sharing(under: () => BusUnderTest): void {
  describe('share', () => {
    let namespaces = 0;
    const fresh = (): Namespace => `share-${++namespaces}` as Namespace;
    const busOf = (namespace: Namespace): Bus => under().backbone.bus(namespace);

    it('hands each publication of the filter to one member, of whatever process', async () => {
      const namespace = fresh();
      const [bus, another] = [busOf(namespace), await under().another()];
      await bus.openGroup('g', filter('s/#'));
      const members = [
        new Hands(bus, 'g', done),
        new Hands(bus, 'g', done),
        new Hands(another.bus(namespace), 'g', done),
      ];
      for (const { share } of members) share.want(5);
      const sent = drafts(300, 's/a').map((draft, i) => ({ ...draft, topic: filter(`s/${i % 9}`) as never }));
      await bus.publish([...sent, draftOf('elsewhere'), draftOf('$s/a')]);
      await store(busOf(fresh()), draftOf('s/a'));
      await until(() => all(...members).length >= 300, 'three hundred publications');
      await sleep(50);
      assert.deepEqual(all(...members), sent.map(({ id }) => id).toSorted());
      for (const { lent, share } of members) {
        assert.ok(lent.length > 20, `one had ${lent.length}`);
        share.stop();
      }
      const [{ publication }] = (members[0] as Hands).lent as [Lent];
      assert.deepEqual(await bus.at([publication]), [publication]);
      await another.close();
    });

    it('begins with what is stored once it was opened, and keeps it while no member is there', async () => {
      const bus = busOf(fresh());
      await store(bus, draftOf('a'));
      await bus.openGroup('g', filter('#'));
      const first = await store(bus, draftOf('a'));
      await bus.openGroup('g', filter('b'));
      const second = await store(bus, draftOf('a'));
      const hands = new Hands(bus, 'g', done);
      hands.share.want(1);
      await until(() => hands.lent.length === 2, 'both');
      assert.deepEqual(hands.ids, [first.id, second.id]);
      hands.share.stop();
    });

    it('hands over what was wanted and no more', async () => {
      const bus = busOf(fresh());
      await bus.openGroup('g', filter('#'));
      const [one, two] = [new Hands(bus, 'g'), new Hands(bus, 'g')];
      one.share.want(2);
      two.share.want(7);
      two.share.want(3);
      await bus.publish(drafts(8, 'a'));
      await until(() => all(one, two).length >= 5, 'five');
      await sleep(100);
      assert.deepEqual([one.lent.length, two.lent.length], [2, 3]);
      one.share.want(9);
      one.share.want(0);
      two.share.want(3);
      await until(() => all(one, two).length >= 8, 'the others');
      assert.deepEqual([one.lent.length, two.lent.length], [2, 6]);
      for (const { share } of [one, two]) share.stop();
    });

    it('hands what one gives back to whoever asks, and what is done to nobody', async () => {
      const bus = busOf(fresh());
      await bus.openGroup('g', filter('#'));
      const [one, two] = [new Hands(bus, 'g'), new Hands(bus, 'g')];
      one.share.want(2);
      await bus.publish(drafts(2, 'a'));
      await until(() => one.lent.length === 2, 'both');
      const [first, second] = one.lent as [Lent, Lent];
      first.done();
      first.back();
      first.done();
      two.share.want(2);
      second.back();
      second.done();
      await until(() => two.lent.length === 1, 'what was given back');
      await sleep(50);
      assert.deepEqual(two.ids, [second.publication.id]);
      assert.deepEqual(two.lent[0]?.publication, second.publication);
      for (const { share } of [one, two]) share.stop();
    });

    it('has others have what one held that stops or dies, and leaves it with one that lives', async () => {
      const namespace = fresh();
      const bus = busOf(namespace);
      await bus.openGroup('g', filter('#'));
      const another = await under().another();
      const [living, stopping] = [new Hands(bus, 'g'), new Hands(bus, 'g')];
      const dying = new Hands(another.bus(namespace), 'g');
      for (const member of [living, stopping, dying]) {
        member.share.want(1);
        await store(bus, draftOf('a'));
        await until(() => member.lent.length === 1, 'its publication');
      }
      const last = new Hands(bus, 'g', done);
      stopping.share.want(1);
      stopping.share.stop();
      last.share.want(1);
      await until(() => last.lent.length === 1, 'that of the one that stopped');
      await another.close();
      await until(() => last.lent.length === 2, 'that of the one that died');
      await sleep(2 * suiteGroupTerms.leaseMs);
      assert.deepEqual(last.ids, [...stopping.ids, ...dying.ids]);
      living.lent[0]?.back();
      await until(() => last.lent.length === 3, 'what the living one gave back');
      for (const { share } of [living, last]) share.stop();
    });

    it('drops what was deleted or outlived its time', async () => {
      const bus = busOf(fresh());
      await bus.openGroup('g', filter('#'));
      await store(bus, draftOf('short', { expiresAt: Date.now() + 50 }));
      await store(bus, draftOf('gone'));
      const kept = await store(bus, draftOf('kept'));
      await bus.delete(filter('gone') as never);
      await sleep(60);
      const hands = new Hands(bus, 'g', done);
      hands.share.want(5);
      await until(() => hands.lent.length > 0, 'what is left');
      assert.deepEqual(hands.ids, [kept.id]);
      hands.share.stop();
    });

    it('is gone for its members when it is closed, and for who never had one', async () => {
      const namespace = fresh();
      const [bus, another] = [busOf(namespace), await under().another()];
      const never = new Hands(bus, 'g');
      never.share.want(1);
      await until(() => never.gone === 1, 'the news that there is none');
      await bus.closeGroup('g');
      await bus.openGroup('g', filter('#'));
      const members = [new Hands(bus, 'g'), new Hands(another.bus(namespace), 'g')];
      for (const { share } of members) share.want(1);
      await bus.publish(drafts(2, 'a'));
      await until(() => all(...members).length === 2, 'one for each');
      for (const { share } of members) share.want(1);
      await bus.closeGroup('g');
      await until(() => members.every(({ gone }) => gone === 1), 'the news of its end');
      await bus.openGroup('g', filter('#'));
      for (const { lent, share } of members) {
        lent[0]?.back();
        share.want(1);
      }
      const again = new Hands(bus, 'g');
      again.share.want(1);
      const { id } = await store(bus, draftOf('a'));
      await until(() => again.lent.length > 0, 'what is stored for the new one');
      assert.deepEqual([again.ids, all(...members).length, never.lent], [[id], 2, []]);
      again.share.stop();
      await another.close();
    });

    it('has a name of 1 to 64 letters, digits, "_" or "-"', async () => {
      const bus = busOf(fresh());
      for (const name of ['', 'a.b', 'ä', 'x'.repeat(65)]) {
        await assert.rejects(bus.openGroup(name, filter('#')), { code: 'request_invalid' });
        await assert.rejects(bus.closeGroup(name), { code: 'request_invalid' });
        assert.throws(() => new Hands(bus, name), { code: 'request_invalid' });
      }
      const longest = `${'x'.repeat(62)}_-`;
      await bus.openGroup(longest, filter('#'));
      await bus.closeGroup(longest);
    });
  });
}
