// Makes what others install: node scripts/pack.ts <folder> leaves there the tarballs of @pushfleet/client, for pages, of
// @pushfleet/publisher, for services, and of @pushfleet/proto, which the latter needs. Node runs TypeScript in a
// checkout, and not below node_modules: so these hold JavaScript and declarations.
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { root } from './servers.ts';

/** What of a workspace goes along beside its manifest. */
const contents = {
  proto: { sources: ['gen/**/*.ts'], copied: ['pushfleet'] },
  'packages/publisher': { sources: ['src/mod.ts'], copied: ['README.md'] },
  'packages/client': { sources: ['src/mod.ts'], copied: ['README.md'] },
} as const;

type Workspace = keyof typeof contents;

interface Manifest {
  readonly exports: Readonly<Record<string, string>>;
  readonly [field: string]: unknown;
}

/** @returns the tarballs' paths */
export function pack(into: string, workspaces = Object.keys(contents) as Workspace[]): string[] {
  mkdirSync(into, { recursive: true });
  return workspaces.map((workspace) => packOne(workspace, resolve(into)));
}

function packOne(workspace: Workspace, into: string): string {
  const from = join(root, workspace);
  const stage = mkdtempSync(join(tmpdir(), 'pushfleet-pack-'));
  try {
    compile(from, contents[workspace].sources, stage);
    for (const name of contents[workspace].copied)
      cpSync(join(from, name), join(stage, name), { recursive: true });
    cpSync(join(root, 'LICENSE'), join(stage, 'LICENSE'));
    writeFileSync(join(stage, 'package.json'), JSON.stringify(published(from), undefined, 2));
    const args = ['pack', '--silent', '--pack-destination', into];
    return join(into, execFileSync('npm', args, { cwd: stage, encoding: 'utf8' }).trim());
  } finally {
    rmSync(stage, { recursive: true });
  }
}

function compile(from: string, sources: readonly string[], stage: string): void {
  const configuration = join(stage, 'tsconfig.json');
  const options = {
    extends: join(root, 'tsconfig.json'),
    compilerOptions: {
      ...{ noEmit: false, declaration: true, rewriteRelativeImportExtensions: true },
      ...{ rootDir: from, outDir: stage, types: ['node'], typeRoots: [join(root, 'node_modules/@types')] },
    },
    include: sources.map((pattern) => join(from, pattern)),
    exclude: [],
  };
  writeFileSync(configuration, JSON.stringify(options));
  execFileSync(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', configuration], {
    stdio: 'inherit',
  });
  rmSync(configuration);
}

/** The manifest as strangers need it: nothing of the checkout's own, and exports of what was compiled. */
function published(from: string): object {
  const manifest = JSON.parse(readFileSync(join(from, 'package.json'), 'utf8')) as Manifest;
  const { private: _private, scripts: _scripts, devDependencies: _development, ...kept } = manifest;
  const exports = Object.entries(manifest.exports).map(([name, path]) => [
    name,
    path.endsWith('.ts')
      ? { types: path.replace(/\.ts$/, '.d.ts'), default: path.replace(/\.ts$/, '.js') }
      : path,
  ]);
  return { ...kept, exports: Object.fromEntries(exports) };
}

if (import.meta.main) for (const path of pack(process.argv[2] ?? '.')) console.log(path);
