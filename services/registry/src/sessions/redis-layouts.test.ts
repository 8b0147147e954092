import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { until } from '@pushfleet/contract';
import type { Session } from '@pushfleet/proto/pushfleet/registry/v1/sessions';
import { Layouts } from '../testing-layouts.ts';
import { keyOf, textsOf, willOf } from './testing.ts';
import { heard, openSessions, type TestSessions } from './testing-register.ts';

const layouts = new Layouts();
const open: TestSessions[] = [];
after(async () => {
  await Promise.all(open.map((one) => one.close()));
  layouts.stop();
});

const shared = { filter: 's/#', group: 'g', options: Buffer.alloc(0), startCursor: '', groupId: '' };
const ids = Array.from({ length: 30 }, (_, n) => `c${10 + n}`);

async function opened(url: string): Promise<TestSessions> {
  const one = await openSessions(url);
  open.push(one);
  await until(() => one.register.groups.known(), 'the index');
  return one;
}

const put = async (one: TestSessions, id: string, generation: bigint, whole = false): Promise<number> => {
  const commit = { key: keyOf(id), generation, putFields: { a: Buffer.from(id) }, removeFields: [] };
  return (await one.register.commit([{ ...commit, whole, number: 1n }]))[0] ?? 0;
};
const [stored, lost] = [1, 5];

async function fill(one: TestSessions): Promise<readonly Session[]> {
  const made: Session[] = [];
  for (const id of ids) {
    const session = await one.own(keyOf(id), { will: willOf(`w/${id}`) });
    await one.update(keyOf(id), session.generation, { addFilters: [shared] });
    assert.equal(await put(one, id, session.generation), stored);
    made.push(session);
  }
  return made;
}

describe('sessions on layouts of Redis', () => {
  it('live in a cluster of three, and go on where one of them lost everything', {
    timeout: 180_000,
  }, async () => {
    const { url, nodes } = await layouts.cluster();
    const one = await opened(url);
    const made = await fill(one);
    const counts = await Promise.all(nodes.map(({ client }) => client.dbsize()));
    assert.ok(
      counts.every((count) => count > 5),
      `keys on each node: ${counts.join(', ')}`,
    );
    const filled = one.register.filling.counts.filled;
    await nodes[0]?.client.flushall();
    const outcomes = await Promise.all(
      made.map(({ key, generation }) => put(one, key?.id ?? '', generation)),
    );
    assert.ok(outcomes.includes(lost) && outcomes.includes(stored));
    for (const { key, generation } of made)
      assert.equal(await put(one, key?.id ?? '', generation, true), stored);
    await one.register.filling.fill();
    assert.ok(one.register.filling.counts.filled > filled);
    const [first] = made as [Session];
    const again = await one.acquire(keyOf('c10'), { instanceId: 'edge-2' });
    assert.deepEqual(textsOf(again.state?.fields), { a: 'c10' });
    assert.ok((again.session?.generation ?? 0n) > first.generation);
    const published = await heard(one.backbone);
    one.alive.clear();
    await until(() => published.length === ids.length - 1, 'the wills of those that were not taken over');
    await until(async () => (await one.register.get(keyOf('c10'))).owner === undefined, 'the release');
    one.advance(700_000);
    await until(() => one.backbone.log.groups.size === 0, 'the end of the group');
  });

  it('go on after a failover by Sentinel to a replica that missed the newest', {
    timeout: 180_000,
  }, async () => {
    const { url, ...sentinel } = await layouts.sentinel();
    const one = await opened(url);
    const early = await one.own(keyOf('early'));
    assert.equal(await put(one, 'early', early.generation), stored);
    await sentinel.copied();
    await sentinel.cutOff();
    const late = await one.own(keyOf('late'), { will: willOf('late') });
    assert.equal(await put(one, 'late', late.generation), stored);
    const taken = await one.own(keyOf('early'), { instanceId: 'edge-2' });
    const filled = one.register.filling.counts.filled;
    await sentinel.failOver();
    await until(() => one.register.filling.counts.filled > filled, 'the filling');
    assert.equal(await put(one, 'late', late.generation), lost);
    assert.equal(await put(one, 'early', taken.generation), lost, 'the replica has an earlier generation');
    assert.equal(await put(one, 'early', taken.generation, true), stored);
    assert.equal(await put(one, 'early', early.generation), 2, 'FENCED');
    const published = await heard(one.backbone);
    one.alive.delete('edge-1');
    await until(() => published.length === 1, 'the will that the replica did not know of');
  });
});
