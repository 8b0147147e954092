import { rmSync } from 'node:fs';
import { findRedisServer, type RedisInstance, runRedis, withFreePorts } from '@pushfleet/cli/servers';
import { endWithUs, temporaryFolder } from './cleanup.ts';
import { root } from './root.ts';

export interface RedisServer {
  readonly url: string;
  /** Of the process that runs now. */
  readonly pid: number;
  /** Sends the signal and waits for the end of the process. */
  kill(signal: NodeJS.Signals): Promise<void>;
  /** Starts it again on the same port; `empty` forgets everything it held. */
  restart(o?: { readonly empty?: boolean }): Promise<void>;
  stop(): Promise<void>;
}

/** A real redis-server in a temporary folder; resolves when it answers. */
export async function startRedis(): Promise<RedisServer> {
  const binary = await findRedisServer({ root, progress: console.log });
  const directory = temporaryFolder('redis');
  const start = async (port: number): Promise<RedisInstance> => {
    const instance = await runRedis({ binary, directory, port });
    endWithUs(instance.child);
    return instance;
  };
  let port = 0;
  let instance = await withFreePorts(1, ([free = 0]) => {
    port = free;
    return start(free);
  });
  return {
    url: instance.url,
    get pid() {
      return instance.child.pid;
    },
    async kill(signal) {
      await instance.child.stop(signal);
    },
    async restart(o = {}) {
      await instance.child.stop('SIGTERM');
      if (o.empty === true) rmSync(directory, { recursive: true, force: true });
      instance = await start(port);
    },
    async stop() {
      await instance.child.stop('SIGKILL');
      rmSync(directory, { recursive: true, force: true });
    },
  };
}
