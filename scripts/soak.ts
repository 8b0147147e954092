// The long fault runs: *.soak.ts beside the tests, which run the same code at its full size.
import { spawnSync } from 'node:child_process';
import { globSync } from 'node:fs';
import { join } from 'node:path';
import { exportServers, root } from './servers.ts';

await exportServers();
process.chdir(root);
const files = globSync('{packages,services}/*/src/**/*.soak.ts').concat(globSync('e2e/src/**/*.soak.ts'));
const ran = spawnSync(process.execPath, [join(root, 'scripts/node-test.ts'), ...files], {
  stdio: 'inherit',
  env: { ...process.env, TEST_FILE_SECONDS: '7200' },
});
process.exitCode = files.length === 0 ? 1 : (ran.status ?? 1);
