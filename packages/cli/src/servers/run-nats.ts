import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Child, type ChildOptions, startChild } from '../local/child.ts';
import { poll } from '../local/poll.ts';

export interface NatsOptions extends Pick<ChildOptions, 'onStart'> {
  readonly binary: string;
  /** Holds configuration, log and JetStream's store; kept between runs. */
  readonly directory: string;
  /** Where what it prints goes; inside `directory` unless it is named. */
  readonly log?: string;
  readonly name: string;
  readonly port: number;
  /** For the monitoring pages, which tell when the server is ready. */
  readonly monitorPort: number;
  readonly cluster?: {
    readonly port: number;
    readonly routes: readonly number[];
    /** Nobody is told where the servers are: they reach each other by these routes alone, clients as they were told. */
    readonly hidden?: boolean;
  };
  /** What JetStream may put on the disk, in bytes; three quarters of what is free at its start unless said. */
  readonly maxFileBytes?: number;
  /** More lines of nats-server configuration. */
  readonly config?: string;
}

export interface NatsInstance {
  readonly child: Child;
  readonly url: string;
  readonly monitorUrl: string;
}

/**
 * Starts a nats-server with JetStream on 127.0.0.1 and waits until it listens. A member of a cluster serves
 * JetStream only once it has found the others: `monitorUrl` + `/healthz` tells.
 *
 * @throws Error with the server's last words where it ends instead, "address already in use" among them
 */
export async function runNats(o: NatsOptions): Promise<NatsInstance> {
  mkdirSync(o.directory, { recursive: true });
  const file = join(o.directory, 'nats.conf');
  writeFileSync(file, configuration(o));
  const child = await startChild({
    command: o.binary,
    args: ['--config', file],
    cwd: o.directory,
    log: o.log ?? join(o.directory, 'nats.log'),
    onStart: o.onStart,
  });
  const url = `nats://127.0.0.1:${o.port}`;
  const monitorUrl = `http://127.0.0.1:${o.monitorPort}`;
  try {
    // Whoever listens on the port may be somebody else: the server's own word counts.
    await poll(() => /Server is ready/.test(child.output()), {
      child,
      what: `${o.name} to listen`,
      ms: 120_000, // after a kill it reads its whole store first: 10 s for a million messages, more on a busy machine
    });
  } catch (error) {
    await child.stop('SIGKILL');
    throw error;
  }
  return { child, url, monitorUrl };
}

const quoted = (text: string): string => JSON.stringify(text);

function configuration(o: NatsOptions): string {
  const { cluster, maxFileBytes } = o;
  const most = maxFileBytes === undefined ? '' : `, max_file_store: ${maxFileBytes}`;
  const lines = [
    `server_name: ${quoted(o.name)}`,
    `listen: "127.0.0.1:${o.port}"`,
    `http: "127.0.0.1:${o.monitorPort}"`,
    `jetstream { store_dir: ${quoted(join(o.directory, 'store'))}${most} }`,
  ];
  if (cluster !== undefined) {
    const routes = cluster.routes.map((port) => quoted(`nats://127.0.0.1:${port}`)).join(', ');
    // Whoever hears of the address of a server that it has a route to already tries it once, in vain.
    const hidden = cluster.hidden === true ? ', no_advertise: true, advertise: "127.0.0.1:1"' : '';
    lines.push(
      `cluster { name: pushfleet, listen: "127.0.0.1:${cluster.port}", routes: [${routes}]${hidden} }`,
    );
  }
  return [...lines, o.config ?? '', ''].join('\n');
}
