// Writes the bill of materials of what runs in production, as CycloneDX 1.5 in JSON, to the file named or to standard
// output. The same package-lock.json gives the same bill: it has no time, no address and no path.
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Dependency, productionDependencies } from './dependencies.ts';

const root = join(import.meta.dirname, '..');
const { version, description } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
  version: string;
  description: string;
};
const own = `pkg:npm/pushfleet@${version}`;

/** Package URL, "npm": the @ of a scope is percent-encoded. */
const urlOf = ({ name, version }: Dependency): string => `pkg:npm/${name.replace('@', '%40')}@${version}`;

/** CycloneDX 1.5, "licenses": an expression, or an id of SPDX. */
function licencesOf({ licence }: Dependency): object {
  if (licence === undefined) return {};
  return { licenses: [/[ (]/.test(licence) ? { expression: licence } : { license: { id: licence } }] };
}

function hashesOf({ integrity }: Dependency): object {
  const [algorithm = '', digest = ''] = integrity?.split('-') ?? [];
  const content = Buffer.from(digest, 'base64').toString('hex');
  return algorithm === 'sha512' ? { hashes: [{ alg: 'SHA-512', content }] } : {};
}

function componentOf(dependency: Dependency): object {
  const purl = urlOf(dependency);
  const [group, name] = dependency.name.startsWith('@')
    ? dependency.name.split('/')
    : [undefined, dependency.name];
  return {
    ...{ type: 'library', 'bom-ref': purl, ...(group !== undefined && { group }), name },
    ...{ version: dependency.version, ...hashesOf(dependency), ...licencesOf(dependency), purl },
  };
}

function billOf(all: readonly Dependency[]): object {
  const byPath = new Map(all.map((dependency) => [dependency.path, urlOf(dependency)]));
  const needs = new Map<string, Set<string>>(all.map((dependency) => [urlOf(dependency), new Set()]));
  // The same version may be installed in several places.
  for (const dependency of all) {
    for (const path of dependency.needs) needs.get(urlOf(dependency))?.add(byPath.get(path) as string);
  }
  const components = new Map(all.map((dependency) => [urlOf(dependency), componentOf(dependency)]));
  return {
    metadata: {
      component: {
        ...{ type: 'application', 'bom-ref': own, name: 'pushfleet', version, description, purl: own },
        licenses: [{ license: { id: 'Apache-2.0' } }],
      },
    },
    components: [...components.values()],
    dependencies: [
      { ref: own, dependsOn: [...components.keys()] },
      ...Array.from(needs, ([ref, dependsOn]) => ({ ref, dependsOn: [...dependsOn].sort() })),
    ],
  };
}

/** RFC 9562 section 5.8, a UUID of one's own making: of the content. */
function serialOf(content: string): string {
  const hex = createHash('sha256').update(content).digest('hex');
  return `urn:uuid:${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-a${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}

const bill = billOf(productionDependencies(root));
const head = {
  bomFormat: 'CycloneDX',
  specVersion: '1.5',
  serialNumber: serialOf(JSON.stringify(bill)),
  version: 1,
};
const text = `${JSON.stringify({ ...head, ...bill }, undefined, 2)}\n`;
const [file] = process.argv.slice(2);
if (file === undefined) process.stdout.write(text);
else writeFileSync(file, text);
