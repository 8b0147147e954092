// Writes docs/licences.md from package-lock.json. With --check it writes nothing, and fails where the page is out of step.
// Either way it fails where a package of production has a licence that is not allowed.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Dependency, productionDependencies } from './dependencies.ts';

/** Licences that ask for no more than that they and the copyright are named. */
const allowed = new Set([
  ...[
    '0BSD',
    'Apache-2.0',
    'BlueOak-1.0.0',
    'BSD-2-Clause',
    'BSD-3-Clause',
    'CC0-1.0',
    'ISC',
    'MIT',
    'Unlicense',
  ],
]);

const root = join(import.meta.dirname, '..');
const page = join(root, 'docs/licences.md');

/** Whether an SPDX expression of AND and OR, without nesting, can be met by what is allowed. */
function isAllowed(expression: string): boolean {
  const [inner = ''] = /[^()]+/.exec(expression) ?? [];
  return inner.split(' OR ').some((choice) => choice.split(' AND ').every((one) => allowed.has(one.trim())));
}

/** The manifest counts where it is installed: the lock file only repeats it. */
function complaintAbout({ name, version, licence, path }: Dependency): string | undefined {
  if (licence === undefined) return `${name} ${version} does not say its licence.`;
  if (!isAllowed(licence)) return `${name} ${version} has the licence ${licence}, which is not allowed.`;
  const manifest = join(root, path, 'package.json');
  if (!existsSync(manifest)) return undefined;
  const { license } = JSON.parse(readFileSync(manifest, 'utf8')) as { license?: string };
  if (license === licence) return undefined;
  return `${name} ${version} has the licence ${license} as it is installed, and ${licence} in package-lock.json.`;
}

function pageOf(dependencies: readonly Dependency[]): string {
  const rows = [
    ...new Set(dependencies.map(({ name, version, licence }) => `| ${name} | ${version} | ${licence} |`)),
  ];
  return `<!-- Written by scripts/licences.ts from package-lock.json; run "node scripts/licences.ts". -->
# Licences

Pushfleet is under the [Apache License 2.0](../LICENSE). The ${rows.length} packages below run with it: those of the services,
the command and the client libraries, without what only tests and builds use. \`npm run check\` holds them against the
licences that are allowed: ${[...allowed].join(', ')}.

| Package | Version | Licence |
|---|---|---|
${rows.join('\n')}
`;
}

const dependencies = productionDependencies(root);
const complaints = dependencies.flatMap((dependency) => complaintAbout(dependency) ?? []);
const text = pageOf(dependencies);
if (!process.argv.includes('--check')) writeFileSync(page, text);
else if (!existsSync(page) || readFileSync(page, 'utf8') !== text) {
  complaints.push('docs/licences.md is out of step with package-lock.json: run "node scripts/licences.ts".');
}
for (const complaint of complaints) console.log(complaint);
process.exitCode = complaints.length === 0 ? 0 : 1;
