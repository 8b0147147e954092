// Formats every file and mends what the linter can mend by itself.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { root } from './servers.ts';

const biome = join(root, 'node_modules/.bin/biome');
const ran = spawnSync(biome, ['check', '--write', '.'], { cwd: root, stdio: 'inherit' });
process.exitCode = ran.status ?? 1;
