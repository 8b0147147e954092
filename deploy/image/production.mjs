// Takes development dependencies out of a pruned checkout's manifests and out of its lock file: npm looks them up even
// where it is told to omit them, and turbo prune --production has left out those of the checkout itself.
//   node production.mjs <folder>
import { globSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const [folder = '.'] = process.argv.slice(2);

function rewrite(path, change) {
  const content = JSON.parse(readFileSync(path, 'utf8'));
  change(content);
  writeFileSync(path, `${JSON.stringify(content, undefined, 2)}\n`);
}

for (const path of globSync('{.,proto,packages/*,services/*}/package.json', { cwd: folder })) {
  rewrite(join(folder, path), (manifest) => delete manifest.devDependencies);
}
rewrite(join(folder, 'package-lock.json'), ({ packages }) => {
  for (const [path, entry] of Object.entries(packages)) {
    if (entry.dev) delete packages[path];
    else delete entry.devDependencies;
  }
});
