import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Child, type ChildOptions, startChild } from '../local/child.ts';
import { poll } from '../local/poll.ts';

export interface RedisOptions extends Pick<ChildOptions, 'onStart'> {
  readonly binary: string;
  /** Holds the log and the append-only file; kept between runs. */
  readonly directory: string;
  /** Where what it prints goes; inside `directory` unless it is named. */
  readonly log?: string;
  readonly port: number;
  /** The port of the primary whose replica it is. */
  readonly replicaOf?: number;
  /** Lines of Sentinel's configuration, which make it one. */
  readonly sentinel?: readonly string[];
}

export interface RedisInstance {
  readonly child: Child;
  readonly url: string;
}

/**
 * Starts a redis-server on 127.0.0.1 and waits until it answers.
 *
 * @throws Error with the server's last words where it ends instead, "Address already in use" among them
 */
export async function runRedis(o: RedisOptions): Promise<RedisInstance> {
  mkdirSync(o.directory, { recursive: true });
  const settings = { bind: '127.0.0.1', port: String(o.port), dir: o.directory };
  const child = await startChild({
    command: o.binary,
    args: [...kindOf(o), ...Object.entries(settings).flatMap(([name, value]) => [`--${name}`, value])],
    cwd: o.directory,
    log: o.log ?? join(o.directory, 'redis.log'),
    onStart: o.onStart,
  });
  try {
    // Whoever listens on the port may be somebody else: the server's own word counts.
    const ready = (): boolean => /Ready to accept connections|Sentinel ID is/.test(child.output());
    await poll(ready, { child, what: 'redis-server to listen', ms: 20_000 });
  } catch (error) {
    await child.stop('SIGKILL');
    throw error;
  }
  return { child, url: `redis://127.0.0.1:${o.port}` };
}

function kindOf({ directory, replicaOf, sentinel }: RedisOptions): string[] {
  const store = ['--appendonly', 'yes', '--save', ''];
  if (replicaOf !== undefined) return [...store, '--replicaof', '127.0.0.1', String(replicaOf)];
  if (sentinel === undefined) return store;
  // Sentinel writes what it learns into its file.
  const file = join(directory, 'sentinel.conf');
  writeFileSync(file, sentinel.map((line) => `sentinel ${line}\n`).join(''));
  return [file, '--sentinel'];
}
