// An edge as far as presence goes, for the tests: in this process, or run as one of its own that can be killed.
import { randomBytes } from 'node:crypto';
import { connect, createServer, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Namespace, Topic } from '@pushfleet/core';
import { createLog, createTokenCheck, type Grant } from '@pushfleet/runtime';
import { createPresence, type Presence } from './presence.ts';
import { secret as ownSecret, token } from './testing.ts';

const allowed = { history: true, presence: true };

/** Presence on the topics below `rooms` and of `team`, and none below `silent`. */
export const policies = {
  of: (_namespace: Namespace, topic: Topic) =>
    topic.startsWith('silent/') ? { ...allowed, filter: 'silent/#' as never, presence: false } : allowed,
};

export interface TestEdgeOptions {
  readonly registryUrl: string | undefined;
  readonly secret?: string;
  readonly lingerMs?: number;
  readonly topics?: number;
}

export function testEdge({
  registryUrl,
  secret = ownSecret,
  lingerMs = 1_000,
  topics = 1_000,
}: TestEdgeOptions): Presence {
  const config = {
    ...{ registryUrl, tokenSecret: secret, internalSecret: undefined },
    ...{ internalTlsCa: undefined, internalTlsCert: undefined, internalTlsKey: undefined },
    ...{ presenceLingerMs: lingerMs, presenceTopics: topics },
  };
  const log = createLog({ name: 'edge', level: 'silent' });
  return createPresence(config, { name: 'edge-test', policies, log });
}

/** What a token of this subject grants: presence everywhere but below `closed`. */
export function grantOf(subject: string): Promise<Grant> {
  const tokens = createTokenCheck(
    {
      ...{
        tokenSecret: ownSecret,
        tokenPublicKey: undefined,
        tokenJwksUrl: undefined,
        tokenIssuer: undefined,
      },
      ...{ tokenAudience: undefined, tokenIssuers: undefined, tokenLifetimeMs: 86_400_000 },
    },
    { revocations: { revoked: () => false, onRevoked: () => () => {} } },
  );
  const pushfleet = { presence: ['rooms/#', 'silent/#', 'team/#', '$sys/#', `${'l'.repeat(8)}/#`] };
  return tokens.check(token({ sub: subject, ns: 'team-a', pushfleet }));
}

/** One address for several registries: each connection goes to the first that takes it. */
export async function startProxy(targets: () => readonly string[]): Promise<{
  readonly url: string;
  /** Breaks all connections. */
  cut(): void;
  close(): void;
}> {
  const sockets = new Set<Socket>();
  const keep = (socket: Socket): void => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.once('close', () => sockets.delete(socket));
  };
  const forward = (socket: Socket, [target, ...others]: readonly string[]): void => {
    const [host, port] = target?.split(':') ?? [];
    if (port === undefined) {
      socket.destroy();
      return;
    }
    const upstream = connect(Number(port), host as string);
    keep(upstream);
    upstream.once('connect', () => {
      socket.pipe(upstream).pipe(socket);
      upstream.once('close', () => socket.destroy());
      socket.once('close', () => upstream.destroy());
    });
    upstream.once('error', () => upstream.connecting || forward(socket, others));
  };
  const server = createServer((socket) => {
    keep(socket);
    forward(socket, targets());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', () => resolve()));
  const { port } = server.address() as { readonly port: number };
  const cut = (): void => {
    for (const socket of sockets) socket.destroy();
  };
  return {
    url: `http://127.0.0.1:${port}`,
    cut,
    close: () => {
      server.close();
      cut();
    },
  };
}

/** Enters so many members, on seven topics, and stays. */
async function main(): Promise<void> {
  const { REGISTRY_URL: registryUrl, SECRET: secret = '', MEMBERS = '0', NAME = '' } = process.env;
  const presence = testEdge({ registryUrl, secret });
  await presence.start();
  const grant = await grantOf(NAME);
  const connection = randomBytes(8).toString('hex');
  await Promise.all(
    Array.from({ length: Number(MEMBERS) }, (_, n) =>
      presence.enter(grant, `rooms/${n % 7}` as Topic, { id: `${n}`, connection }, {}),
    ),
  );
  console.log('entered');
  await sleep(600_000);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main();
