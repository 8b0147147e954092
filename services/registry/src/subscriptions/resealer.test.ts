import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createMemoryBackbone } from '@pushfleet/bus';
import { until } from '@pushfleet/contract';
import { createLog } from '@pushfleet/runtime';
import { readRecord } from './record.ts';
import { RecordLedger } from './record-ledger.ts';
import { Resealer } from './resealer.ts';
import { Sealing } from './sealing.ts';
import { parseSealingKeys } from './sealing-keys.ts';
import { draft, namespace } from './testing.ts';

const log = createLog({ name: 'registry', level: 'silent' });
const key = (id: string, fill: number): string => `${id}:${Buffer.alloc(32, fill).toString('base64')}`;
const sealingOf = (...texts: string[]): Sealing => new Sealing(parseSealingKeys(texts.join(',')));
const [k0, k1, k2] = [key('k0', 9), key('k1', 1), key('k2', 2)];

describe('Resealer', () => {
  const ledger = createMemoryBackbone().ledger('subscriptions');
  const records = new RecordLedger(ledger, Date.now);
  const create = async (id: string, sealing: Sealing, over = {}) =>
    records.create(sealing.seal(draft({ id, ...over })));
  const start = (sealing: Sealing): Resealer => {
    const resealer = new Resealer({ ledger, records, sealing, log, pauseMs: 0, everyMs: 10 });
    resealer.start();
    return resealer;
  };
  const outdated = async (sealing: Sealing): Promise<string[]> => {
    const { pages } = await ledger.read();
    const ids: string[] = [];
    for await (const page of pages) {
      for (const entry of page) {
        const record = readRecord(entry);
        if (record !== undefined && sealing.isOutdated(record)) ids.push(record.id);
      }
    }
    return ids;
  };

  it('seals under the first key what is under another, until none is left', async () => {
    const old = sealingOf(k1);
    const both = sealingOf(k2, k1);
    const expiresAt = new Date(Date.now() + 3_600_000);
    for (let n = 0; n < 20; n++) await create(`a${n}`, old, { expiresAt });
    const resealer = start(both);
    await until(() => resealer.outdated === 0, 'the end of the old key');
    assert.deepEqual(await outdated(both), []);
    await create('late', old);
    await until(async () => (await outdated(both)).length === 0, 'what another instance sealed meanwhile');
    resealer.close();
    const held = await records.get(namespace, 'a7');
    assert.ok(held !== undefined);
    assert.deepEqual(sealingOf(k2).open(held), {
      ...draft({ id: 'a7', expiresAt }),
      revision: held.revision,
    });
  });

  it('counts what it cannot open, and seals the rest', async () => {
    await create('lost', sealingOf(k0));
    await create('found', sealingOf(k1));
    const both = sealingOf(k2, k1);
    const resealer = start(both);
    await until(() => resealer.outdated === 1, 'the one that is left');
    assert.deepEqual(await outdated(both), ['lost']);
    resealer.close();
    const all = start(sealingOf(k2, k0));
    await until(() => all.outdated === 0, 'the missing key to have come back');
    all.close();
  });

  it('reads nothing where there is one key', () => {
    const never = { read: () => Promise.reject(new Error('it was read')) };
    const resealer = new Resealer({ ledger: never, records, sealing: sealingOf(k1), log });
    resealer.start();
    assert.equal(resealer.outdated, undefined);
    resealer.close();
  });
});
