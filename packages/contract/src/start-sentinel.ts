import { rmSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { findRedisServer, type RedisInstance, runRedis, withFreePorts } from '@pushfleet/cli/servers';
import { endWithUs, temporaryFolder } from './cleanup.ts';
import { root } from './root.ts';
import type { RedisServer } from './start-redis.ts';
import { until } from './until.ts';

/** Two redis-servers of which Sentinel makes one the primary. */
export interface SentinelRedis extends Pick<RedisServer, 'url' | 'stop'> {
  /** Which of them Sentinel calls the primary. */
  primary(): Promise<RedisServer>;
}

/** A primary, its replica and a Sentinel that fails over within seconds; resolves when the replica has all. */
export async function startSentinel(): Promise<SentinelRedis> {
  const binary = await findRedisServer({ root, progress: console.log });
  const directory = temporaryFolder('sentinel');
  const run = async (name: string, port: number, more: Role = {}): Promise<RedisInstance> => {
    const instance = await runRedis({ binary, directory: join(directory, name), port, ...more });
    endWithUs(instance.child);
    return instance;
  };
  return withFreePorts(3, async ([first = 0, second = 0, port = 0]) => {
    const servers = new Map([
      [first, await member(() => run('first', first))],
      [second, await member(() => run('second', second, { replicaOf: first }))],
    ]);
    await until(
      async () => /master_link_status:up/.test(await ask(second, 'INFO replication')),
      'the replica',
    );
    const sentinel = await run('sentinel', port, {
      sentinel: [
        `monitor m 127.0.0.1 ${first} 1`,
        'down-after-milliseconds m 1000',
        'failover-timeout m 5000',
      ],
    });
    const knows = async () => (await ask(port, 'SENTINEL REPLICAS m')).includes(String(second));
    await until(knows, 'Sentinel to know the replica');
    return {
      url: `redis+sentinel://127.0.0.1:${port}/m`,
      async primary() {
        const said = await ask(port, 'SENTINEL GET-MASTER-ADDR-BY-NAME m');
        const found = [...servers].find(([own]) => said.includes(`\r\n${own}\r\n`));
        if (found === undefined) throw new Error(`Sentinel says ${JSON.stringify(said)}`);
        return found[1];
      },
      async stop() {
        await sentinel.child.stop('SIGKILL');
        await Promise.all([...servers.values()].map((server) => server.kill('SIGKILL')));
        rmSync(directory, { recursive: true, force: true });
      },
    };
  });
}

type Role = { readonly replicaOf?: number; readonly sentinel?: readonly string[] };

/** What it was at its start it is again; Sentinel tells it what it is to be. */
async function member(run: () => Promise<RedisInstance>): Promise<RedisServer> {
  let instance = await run();
  const stop = async (signal: NodeJS.Signals): Promise<void> => {
    await instance.child.stop(signal);
  };
  return {
    url: instance.url,
    get pid() {
      return instance.child.pid;
    },
    kill: stop,
    async restart() {
      await stop('SIGTERM');
      instance = await run();
    },
    stop: () => stop('SIGKILL'),
  };
}

/** A command without spaces in its arguments, and the answer as it comes. */
function ask(port: number, command: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let answer = '';
    const socket = connect({ host: '127.0.0.1', port });
    socket.setTimeout(5_000, () => socket.destroy(new Error(`no answer to ${command}`)));
    socket
      .on('data', (bytes) => (answer += bytes))
      .on('end', () => resolve(answer))
      .on('error', reject);
    socket.end(`${command}\r\nQUIT\r\n`);
  });
}
