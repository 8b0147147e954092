/** Where Redis is and how it is arranged, read from one URL. */
export interface RedisAddress {
  readonly kind: 'standalone' | 'sentinel' | 'cluster';
  readonly tls: boolean;
  readonly nodes: readonly { readonly host: string; readonly port: number }[];
  readonly username: string | undefined;
  readonly password: string | undefined;
  /** Sentinel's name for the master. */
  readonly master: string | undefined;
  readonly database: number;
}

export const redisUrlRule =
  'redis[s]://[user:password@]host[:port][/database], redis[s]+sentinel://host[:port],…/master[/database] or redis[s]+cluster://host[:port],…';

const shape = /^redis(s?)(?:\+(sentinel|cluster))?:\/\/(?:([^@/]*)@)?([^@/?#]+)(?:\/([^?#]*))?$/;

/** @throws Error that says which part is wrong and never holds the password */
export function parseRedisUrl(text: string): RedisAddress {
  const match = shape.exec(text);
  if (match === null) throw new Error('it has another form');
  const [, tls, kind = 'standalone', credentials, hosts, path = ''] = match as unknown as [
    string,
    string,
    RedisAddress['kind'] | undefined,
    string | undefined,
    string,
    string | undefined,
  ];
  const nodes = hosts.split(',').map((host) => parseNode(host, kind === 'sentinel' ? 26_379 : 6_379));
  if (kind === 'standalone' && nodes.length > 1)
    throw new Error('several hosts need redis+sentinel or redis+cluster');
  return { kind, tls: tls === 's', nodes, ...parseCredentials(credentials), ...parsePath(kind, path) };
}

function parseNode(text: string, standardPort: number): { host: string; port: number } {
  const [, six, plain, port] = /^(?:\[([0-9a-fA-F:.]+)\]|([^\s:[\]]+))(?::(\d{1,5}))?$/.exec(text) ?? [];
  const host = six ?? plain;
  if (host === undefined || Number(port ?? standardPort) > 65_535) {
    throw new Error(`${JSON.stringify(text)} is no host or host:port`);
  }
  return { host, port: Number(port ?? standardPort) };
}

function parseCredentials(text: string | undefined): Pick<RedisAddress, 'username' | 'password'> {
  if (text === undefined || text === '') return { username: undefined, password: undefined };
  const colon = text.indexOf(':');
  const username = colon < 0 ? text : text.slice(0, colon);
  try {
    return {
      username: username === '' ? undefined : decodeURIComponent(username),
      password: colon < 0 ? undefined : decodeURIComponent(text.slice(colon + 1)),
    };
  } catch {
    throw new Error('user and password are percent-encoded, and here "%" stands alone');
  }
}

function parsePath(kind: RedisAddress['kind'], path: string): Pick<RedisAddress, 'master' | 'database'> {
  const parts = path === '' ? [] : path.split('/');
  const master = kind === 'sentinel' ? parts.shift() : undefined;
  if (kind === 'sentinel' && !master) throw new Error("Sentinel's name for the master follows the hosts");
  const database = parts.shift() ?? '0';
  if (!/^\d{1,5}$/.test(database) || parts.length > 0)
    throw new Error('the database is a number at the end of the path');
  if (kind === 'cluster' && database !== '0') throw new Error('a cluster has database 0 alone');
  return { master, database: Number(database) };
}
