// Writes proto/gen from the .proto files.
import { execFileSync } from 'node:child_process';

execFileSync('npx', ['buf', 'generate', '--clean'], { stdio: 'inherit' });
