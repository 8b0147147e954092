// Writes what the chart has of the rest of the repository: the facts of the services, the routes, dashboards and alerts,
// values.schema.json and README.md. With --check it writes nothing and fails where one of them is out of step.
import { existsSync, globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, dirname, join, relative } from 'node:path';
import { chart, factsOf, readMigrate, readServices, root } from './fleet.ts';
import { readmeIntroduction, valuesTable } from './readme.ts';
import { valuesSchema } from './schema.ts';

/** With an object of one text on one line: the schema refers to each variable once for each of its services. */
const json = (value: unknown): string =>
  `${JSON.stringify(value, null, 2).replace(/\{\n\s+("[^"\n]*": "[^"\n]*")\n\s+\}/g, '{ $1 }')}\n`;

async function wanted(): Promise<ReadonlyMap<string, string>> {
  const services = await readServices();
  const migrate = await readMigrate();
  const facts = Array.from(services, ([name, fields]) => [name, factsOf(name, fields)] as const);
  const head = readFileSync(join(root, 'helm/README.head.md'), 'utf8');
  const table = valuesTable(readFileSync(join(chart, 'values.yaml'), 'utf8'));
  const files = new Map([
    ['values.schema.json', json(valuesSchema(services, migrate))],
    ['README.md', `${readmeIntroduction}${head}\n## Values\n\n${table}\n`],
    ['files/fleet.json', json({ services: Object.fromEntries(facts), migrate: factsOf('', migrate) })],
    ['files/routes.json', readFileSync(join(root, 'deploy/routes.json'), 'utf8')],
  ]);
  // Helm reads nothing outside of a chart, and a link would not survive every checkout.
  for (const path of globSync('deploy/grafana/dashboards/*.json', { cwd: root }).sort())
    files.set(`files/dashboards/${basename(path)}`, readFileSync(join(root, path), 'utf8'));
  const alerts = join(root, 'deploy/prometheus/alerts.yml');
  if (existsSync(alerts)) files.set('files/alerts.yml', readFileSync(alerts, 'utf8'));
  return files;
}

function readIfThere(path: string): string | undefined {
  return existsSync(path) ? readFileSync(path, 'utf8') : undefined;
}

const check = process.argv.includes('--check');
const files = await wanted();
const stale = globSync('files/{dashboards/*.json,alerts.yml}', { cwd: chart }).filter(
  (path) => !files.has(path),
);
const different = [...files].filter(([path, text]) => readIfThere(join(chart, path)) !== text);
if (check) {
  for (const path of [...stale, ...different.map(([path]) => path)]) {
    const shown = relative(root, join(chart, path));
    console.error(`${shown} is out of step. Run "node helm/src/generate.ts" and commit the result.`);
    process.exitCode = 1;
  }
} else {
  for (const path of stale) rmSync(join(chart, path));
  for (const [path, text] of different) {
    mkdirSync(dirname(join(chart, path)), { recursive: true });
    writeFileSync(join(chart, path), text);
  }
}
