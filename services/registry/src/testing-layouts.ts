// Redis as operators run it, for the tests: a cluster, and a master with a replica behind Sentinel.
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort, until } from '@pushfleet/contract';
import { Redis } from 'ioredis';

export interface Node {
  readonly port: number;
  readonly child: ChildProcess;
  readonly client: Redis;
}

/** The servers of one test file; `stop` ends all of them. */
export class Layouts {
  readonly #folder = mkdtempSync(join(tmpdir(), 'pushfleet-layouts-'));
  readonly #children: ChildProcess[] = [];
  readonly #clients: Redis[] = [];

  stop(): void {
    for (const client of this.#clients) client.disconnect();
    for (const child of this.#children) child.kill('SIGKILL');
    rmSync(this.#folder, { recursive: true, force: true });
  }

  /** A client that ends with the others. */
  client(to: string | number): Redis {
    const client = typeof to === 'string' ? new Redis(to) : new Redis({ port: to });
    client.on('error', () => {});
    this.#clients.push(client);
    return client;
  }

  async #spawn(args: readonly string[], port: number): Promise<Node> {
    const dir = join(this.#folder, String(port));
    mkdirSync(dir);
    const options = ['--port', String(port), '--bind', '127.0.0.1', '--dir', dir, '--save', ''];
    const child = spawn('redis-server', [...args, ...options]);
    this.#children.push(child);
    const client = new Redis({ port, retryStrategy: () => 50, maxRetriesPerRequest: null });
    client.on('error', () => {});
    this.#clients.push(client);
    const gone = new Promise<never>((_, reject) => {
      child.once('exit', (code) =>
        reject(new Error(`redis-server on port ${port} ended at its start: ${code}`)),
      );
    });
    // The client asks for ever.
    await Promise.race([client.ping(), gone]);
    gone.catch(() => {});
    return { port, child, client };
  }

  /** Three masters that share the slots. */
  async cluster(): Promise<{ readonly url: string; readonly nodes: readonly Node[] }> {
    const nodes: Node[] = [];
    const buses: number[] = [];
    for (let n = 0; n < 3; n++) {
      const announce = ['--cluster-announce-ip', '127.0.0.1', '--cluster-node-timeout', '2000'];
      // Else it is 10,000 above the other, where any outgoing connection of the machine may be.
      const bus = await freePort();
      buses.push(bus);
      const cluster = ['--cluster-enabled', 'yes', '--cluster-port', String(bus)];
      const args = [...cluster, '--cluster-config-file', 'nodes.conf', ...announce];
      nodes.push(await this.#spawn(args, await freePort()));
    }
    const [first] = nodes as [Node];
    for (const [n, { client }] of nodes.entries()) {
      await client.call('CLUSTER', 'ADDSLOTSRANGE', n * 5_462, Math.min(n * 5_462 + 5_461, 16_383));
      await client.call('CLUSTER', 'SET-CONFIG-EPOCH', n + 1);
      const met = ['127.0.0.1', nodes[n]?.port as number, buses[n] as number];
      if (n > 0) await first.client.call('CLUSTER', 'MEET', ...met);
    }
    const isWhole = async ({ client }: Node) =>
      /cluster_state:ok.*cluster_known_nodes:3/s.test(String(await client.call('CLUSTER', 'INFO')));
    for (const node of nodes) await until(() => isWhole(node), 'the cluster');
    return { url: `redis+cluster://${nodes.map(({ port }) => `127.0.0.1:${port}`).join(',')}`, nodes };
  }

  /** A master, a replica and a Sentinel that knows both. */
  async sentinel(): Promise<{ readonly url: string } & Failover> {
    const master = await this.#spawn([], await freePort());
    await master.client.call('ACL', 'SETUSER', 'copier', 'on', '>secret', '~*', '&*', '+@all');
    const copying = ['--replicaof', '127.0.0.1', String(master.port), '--repl-diskless-sync-delay', '0'];
    const copier = ['--masteruser', 'copier', '--masterauth', 'secret'];
    const replica = await this.#spawn([...copying, ...copier], await freePort());
    const linkOf = async () => /master_link_status:(\w+)/.exec(await replica.client.info('replication'))?.[1];
    await until(async () => (await linkOf()) === 'up', 'the replica');
    const config = join(this.#folder, 'sentinel.conf');
    const lines = [
      `monitor m 127.0.0.1 ${master.port} 1`,
      'down-after-milliseconds m 500',
      'failover-timeout m 5000',
    ];
    writeFileSync(config, lines.map((line) => `sentinel ${line}\n`).join(''));
    const port = await freePort();
    await this.#spawn([config, '--sentinel'], port);
    const sentinel = this.client(port);
    const known = async () =>
      String(await sentinel.call('SENTINEL', 'REPLICAS', 'm')).includes(String(replica.port));
    await until(known, 'Sentinel to know the replica');
    return {
      url: `redis+sentinel://127.0.0.1:${port}/m`,
      ...{ master, replica },
      async copied() {
        const same = async () => (await replica.client.dbsize()) === (await master.client.dbsize());
        await until(same, 'the copy');
      },
      async cutOff() {
        await master.client.call('ACL', 'DELUSER', 'copier');
        await until(async () => (await linkOf()) === 'down', 'the replica to be cut off');
      },
      async failOver() {
        master.child.kill('SIGKILL');
        await until(async () => (await replica.client.role())[0] === 'master', 'the failover');
      },
    };
  }
}

interface Failover {
  readonly master: Node;
  readonly replica: Node;
  /** Waits until the replica has as many keys. */
  copied(): Promise<void>;
  /** The replica hears nothing more, and the master goes on alone. */
  cutOff(): Promise<void>;
  /** The master dies, and the replica takes over. */
  failOver(): Promise<void>;
}
