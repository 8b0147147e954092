import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { before, describe, it } from 'node:test';
import { temporaryFolder } from '@pushfleet/contract';
import { pack } from '../../../scripts/pack.ts';
import { defaultLimits } from './limits.ts';

const root = resolve(import.meta.dirname, '../../..');
const tsc = join(root, 'node_modules/typescript/bin/tsc');

describe('the package', () => {
  const folder = temporaryFolder('client-package');
  const program = `import { connect, type Message } from '@pushfleet/client';
const fleet = connect({ url: 'http://127.0.0.1:1', token: 'x' });
const read = async (): Promise<void> => {
  for await (const message of fleet.subscribe('a/#')) console.log((message satisfies Message).json<number>());
};
console.log(fleet.state, typeof read);
await fleet.close();
`;

  before(() => {
    const [tarball] = pack(folder, ['packages/client']);
    const into = join(folder, 'node_modules/@pushfleet/client');
    mkdirSync(into, { recursive: true });
    execFileSync('tar', ['xzf', tarball as string, '-C', into, '--strip-components=1']);
    writeFileSync(join(folder, 'package.json'), '{"type":"module"}');
    writeFileSync(join(folder, 'program.ts'), program);
  });

  it('runs in Node from node_modules, and depends on nothing', () => {
    assert.equal(
      execFileSync(process.execPath, ['program.ts'], { cwd: folder, encoding: 'utf8' }),
      'idle function\n',
    );
    const manifest = JSON.parse(
      readFileSync(join(folder, 'node_modules/@pushfleet/client/package.json'), 'utf8'),
    );
    assert.deepEqual([manifest.dependencies, manifest.sideEffects], [undefined, false]);
  });

  it('has types for pages, strict and without those of Node', () => {
    const compilerOptions = {
      ...{ strict: true, noEmit: true, module: 'nodenext', target: 'es2022' },
      ...{ lib: ['es2022', 'dom'], types: [] },
    };
    writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: ['program.ts'] }));
    execFileSync(process.execPath, [tsc, '-p', folder], { stdio: 'inherit' });
  });

  it('is described with every limit and its default', () => {
    const page = readFileSync(join(import.meta.dirname, '../README.md'), 'utf8');
    const rows = page.matchAll(/^\| (`\w+`(?:, `\w+`)*) \| ([\d,]+(?: MiB)?(?:, [\d,]+ MiB)?) \|/gm);
    const told = [...rows].flatMap(([, names = '', values = '']) => {
      const numbers = values.split(', ');
      return names.split(', ').map((name, i) => [name.slice(1, -1), numberOf(numbers[i] ?? '')]);
    });
    assert.deepEqual(Object.fromEntries(told), defaultLimits);
  });
});

const numberOf = (text: string): number =>
  Number(text.replaceAll(',', '').replace(' MiB', '')) * (text.endsWith('MiB') ? 1_048_576 : 1);
