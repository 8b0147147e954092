import { resolve } from 'node:path';
import { findNatsServer, findRedisServer } from '../packages/cli/src/servers/mod.ts';

/** The checkout. */
export const root = resolve(import.meta.dirname, '..');

/** Finds or brings the real servers once, and names them to every test process that is started afterwards. */
export async function exportServers(): Promise<void> {
  const o = { root, progress: (line: string) => console.log(line) };
  process.env.PUSHFLEET_NATS_SERVER = await findNatsServer(o);
  process.env.PUSHFLEET_REDIS_SERVER = await findRedisServer(o);
}
