import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { describe, it } from 'node:test';
import { defaultLimits } from './connect.ts';

const root = resolve(import.meta.dirname, '../../..');
const read = (path: string): string => readFileSync(join(root, path), 'utf8');

/** Programs that stand in a page, which npm run conformance runs from their own files. */
const shown = [
  ['packages/publisher/README.md', 'ts', 'examples/typescript/publish.ts'],
  ['examples/README.md', 'python', 'examples/python/publish.py'],
  ['examples/README.md', 'go', 'examples/go/publish/main.go'],
] as const;

describe('the pages', () => {
  for (const [page, language, file] of shown) {
    it(`${page} shows ${file} as it is`, () => {
      const blocks = read(page).matchAll(new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\`$`, 'gms'));
      assert.deepEqual(
        [...blocks].map(([, block]) => block),
        [read(file)],
      );
    });
  }

  it('packages/publisher/README.md has every limit with its default', () => {
    const rows = read('packages/publisher/README.md').matchAll(/^\| (`\w+`(?:, `\w+`)*) \| ([^|]+) \|/gm);
    const told = [...rows].flatMap(([, names = '', values = '']) => {
      const numbers = values.match(/[\d,]+\d( MiB)?|\d( MiB)?/g) ?? [];
      return names.split(', ').map((name, index) => [name.slice(1, -1), numberOf(numbers[index])] as const);
    });
    const limits = told.filter(([name]) => name in defaultLimits);
    assert.deepEqual(Object.fromEntries(limits), defaultLimits);
  });
});

function numberOf(text = ''): number {
  return Number(text.replaceAll(',', '').replace(' MiB', '')) * (text.endsWith('MiB') ? 1_048_576 : 1);
}
