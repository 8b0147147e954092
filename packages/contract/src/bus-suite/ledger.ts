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

    it('lets one of many win that change a key at once', async () => {
      const ledger = ledgerOf();
      const attempts = Array.from({ length: 20 }, (_, n) =>
        ledger.put('race', value(String(n)), { ifRevision: 0 }),
      );
      const settled = await Promise.allSettled(attempts);
      assert.equal(settled.filter(({ status }) => status === 'fulfilled').length, 1);
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

    it('is read whole, or from behind a revision with what has ended since', async () => {
      const ledger = ledgerOf();
      await ledger.put('read/a', value('1'));
      await ledger.put('read/gone', value('1'));
      const { head } = await ledger.read();
      await ledger.put('read/b', value('1'));
      await ledger.put('read/a', value('2'));
      await ledger.delete('read/gone');
      const all = async (after?: number): Promise<[string, string | undefined][]> => {
        const { pages } = await ledger.read(after === undefined ? {} : { after });
        const own: LedgerEntry[] = [];
        for await (const page of pages) own.push(...page.filter(({ key }) => key.startsWith('read/')));
        return own.map((entry) => [entry.key, entry.value && textOf(entry.value)]);
      };
      const there: [string, string | undefined][] = [
        ['read/b', '1'],
        ['read/a', '2'],
      ];
      assert.deepEqual(await all(), there);
      assert.deepEqual(await all(head), [...there, ['read/gone', undefined]]);
      assert.deepEqual(await all((await ledger.read()).head), []);
    });

    it('hands a watcher every change behind a revision', async () => {
      const ledger = ledgerOf();
      await ledger.put('behind/a', value('1'));
      await ledger.put('behind/b', value('1'));
      const { head } = await ledger.read();
      await ledger.delete('behind/b');
      const entries: LedgerEntry[] = [];
      const watch = await ledger.watch((entry) => entries.push(entry), { prefix: 'behind/', after: head });
      await ledger.put('behind/c', value('1'));
      await until(() => entries.length === 2, 'both changes');
      assert.deepEqual(
        entries.map((entry) => [entry.key, entry.value && textOf(entry.value)]),
        [
          ['behind/b', undefined],
          ['behind/c', '1'],
        ],
      );
      watch.stop();
    });

    it('lets an entry end', async () => {
      const ledger = ledgerOf();
      await ledger.put('long', value('1'), { ttlMs: 90 * 86_400_000 });
      const entries: LedgerEntry[] = [];
      const watch = await ledger.watch((entry) => entries.push(entry), { prefix: 'ttl' });
      await ledger.put('ttl', value('1'), { ttlMs: 1_000 });
      assert.notEqual(await ledger.get('ttl'), undefined);
      await until(async () => (await ledger.get('ttl')) === undefined, 'the end of the entry');
      await until(() => entries.length === 2, 'the news of it');
      assert.equal(entries[1]?.value, undefined);
      assert.notEqual(await ledger.get('long'), undefined);
      watch.stop();
    });
  });
}
