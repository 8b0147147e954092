import assert from 'node:assert/strict';
import { it } from 'node:test';
import { until } from '@pushfleet/contract';
import { Shares } from './shares.ts';

it('gives every piece to one instance, and moves only what it must when one comes or goes', async () => {
  const instances = ['a', 'b'].map((instance) => ({ instance, service: 's' }));
  const owners = new Map<number, Set<string>>();
  const join = (instance: string): Shares => {
    const hold = (piece: number) => {
      owners.set(piece, (owners.get(piece) ?? new Set()).add(instance));
      return { stop: async () => void owners.get(piece)?.delete(instance) };
    };
    const shares = new Shares({ instance, instances: () => instances }, 's', 64, hold);
    shares.start();
    return shares;
  };
  const [a, b] = [join('a'), join('b')];
  const sole = (): boolean => [...owners.values()].every((set) => set.size === 1);
  assert.equal(a.size + b.size, 64);
  assert.ok(sole() && a.size > 15 && b.size > 15, `${a.size} and ${b.size}`);

  const before = new Map(Array.from(owners, ([piece, set]) => [piece, [...set][0]]));
  instances.push({ instance: 'c', service: 's' });
  const c = join('c');
  await until(() => a.size + b.size + c.size === 64 && sole(), 'the third to have its part');
  for (const [piece, set] of owners) assert.ok(set.has('c') || set.has(before.get(piece) as string));
  instances.splice(1, 1);
  await b.stop();
  await until(() => a.size + c.size === 64 && sole(), 'the others to take over');
  await Promise.all([a.stop(), c.stop()]);
  assert.equal(a.size + c.size, 0);
});
