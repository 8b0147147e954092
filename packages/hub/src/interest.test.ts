import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { SimulatedClock } from '@pushfleet/contract/simulation';
import { type Following, type Place, PushfleetError, type TopicFilter } from '@pushfleet/core';
import { Interests } from './interest.ts';
import { Mark } from './mark.ts';
import { filter } from './test/stage.ts';

/** A supply that says what it was asked. */
class Script implements Following {
  readonly followed = new Set<TopicFilter>();
  readonly calls: string[] = [];
  head = 0;
  reached = Number.POSITIVE_INFINITY;
  failing = false;

  get place(): Place {
    return { generation: 'g', positions: [Math.min(this.head, this.reached)], time: 0 };
  }

  async add(one: TopicFilter): Promise<Place> {
    if (this.failing) throw new PushfleetError('unavailable', 'away');
    assert.ok(!this.followed.has(one), `${one} is followed twice`);
    this.followed.add(one);
    this.calls.push(`+ ${one}`);
    return { generation: 'g', positions: [++this.head], time: 0 };
  }

  remove(one: TopicFilter): void {
    assert.ok(this.followed.delete(one));
    this.calls.push(`- ${one}`);
  }

  stop(): void {}
}

function setup() {
  const clock = new SimulatedClock();
  const following = new Script();
  const interests = new Interests({
    following,
    clock,
    lingerMs: 5_000,
    replacedLingerMs: 1_000,
    onFence: (place) => Mark.of(place),
  });
  return { clock, following, interests };
}

const list = (following: Script) => [...following.followed].sort();

suite('interests', () => {
  test('a filter is followed once, and left a linger after its last holder', async () => {
    const { clock, following, interests } = setup();
    await Promise.all([interests.acquire(filter('a')), interests.acquire(filter('a'))]);
    interests.release(filter('a'));
    await clock.advance(6_000);
    assert.deepEqual(list(following), ['a']);
    interests.release(filter('a'));
    await clock.advance(4_999);
    await interests.acquire(filter('a'));
    await clock.advance(20_000);
    assert.deepEqual(following.calls, ['+ a']);
    interests.release(filter('a'));
    await clock.advance(5_000);
    assert.deepEqual(following.calls, ['+ a', '- a']);
    assert.equal(interests.wanted, 0);
  });

  test('what is covered is not followed, and has the age of what covers it', async () => {
    const { following, interests } = setup();
    await interests.acquire(filter('a/#'));
    await interests.acquire(filter('a/b'));
    await interests.acquire(filter('a'));
    await interests.acquire(filter('a/+/c'));
    assert.deepEqual(list(following), ['a/#']);
    assert.deepEqual(interests.since(filter('a/b'))?.positions, [1]);
  });

  test('a wider filter takes over once it is fenced, and what it replaces stays until its debts are paid', async () => {
    const { clock, following, interests } = setup();
    await interests.acquire(filter('a/b'));
    await interests.acquire(filter('x'));
    following.reached = 2; // the bus has yet to hand over what was stored before the next fence
    await interests.acquire(filter('a/#'));
    await clock.advance(10_000);
    assert.deepEqual(list(following), ['a/#', 'a/b', 'x']);
    following.reached = 3;
    await clock.advance(1_000);
    assert.deepEqual(list(following), ['a/#', 'x']);
    assert.deepEqual(interests.since(filter('a/b'))?.positions, [1], 'it was held all the time');
  });

  test('a covering filter goes only after its replacements are fenced', async () => {
    const { clock, following, interests } = setup();
    for (const one of ['a/#', 'a/b', 'a/+', 'a/b/c']) await interests.acquire(filter(one));
    interests.release(filter('a/#'));
    following.failing = true;
    await clock.advance(5_000);
    assert.deepEqual(list(following), ['a/#'], 'the log is away, so it stays');
    following.failing = false;
    interests.release(filter('a/b'));
    await clock.advance(5_000);
    assert.deepEqual(list(following), ['a/#', 'a/+', 'a/b/c']);
    await clock.advance(1_000);
    assert.deepEqual(list(following), ['a/+', 'a/b/c']);
    assert.deepEqual(interests.since(filter('a/b/c'))?.positions, [1]);
  });

  test('a covering filter that is wanted again while it goes stays', async () => {
    const { clock, following, interests } = setup();
    for (const one of ['a/#', 'a/b']) await interests.acquire(filter(one));
    interests.release(filter('a/#'));
    await clock.advance(5_500);
    assert.deepEqual(list(following), ['a/#', 'a/b']);
    await interests.acquire(filter('a/#'));
    await clock.advance(20_000);
    assert.deepEqual(list(following), ['a/#']);
  });

  test('a filter that could not be followed is refused, and can be asked for again', async () => {
    const { clock, following, interests } = setup();
    following.failing = true;
    await assert.rejects(interests.acquire(filter('a')), { code: 'unavailable' });
    following.failing = false;
    await interests.acquire(filter('a'));
    assert.deepEqual(list(following), ['a']);
    interests.release(filter('a'));
    await clock.advance(5_000);
    assert.deepEqual(list(following), []);
  });

  test('20,000 exact filters, covered and uncovered again, stay cheap', async () => {
    const { clock, following, interests } = setup();
    const many = Array.from({ length: 20_000 }, (_, i) => filter(`site/${i % 200}/device/${i}`));
    const start = process.cpuUsage();
    await Promise.all(many.map((one) => interests.acquire(one)));
    await interests.acquire(filter('site/+/device/#'));
    await clock.advance(1_000);
    assert.equal(following.followed.size, 1);
    interests.release(filter('site/+/device/#'));
    await clock.advance(6_000);
    assert.equal(following.followed.size, 20_000);
    const { user, system } = process.cpuUsage(start);
    // 60,000 steps: a comparison of each with each would take minutes.
    assert.ok(user + system < 10_000_000, `${(user + system) / 1e6} s`);
  });
});
