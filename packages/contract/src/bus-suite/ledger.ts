import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Ledger, LedgerEntry } from '@pushfleet/bus';
import { until } from '../until.ts';
import { utf8 } from './tools.ts';

export function keepingLedgers(ledgerOf: () => Ledger): void {
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
