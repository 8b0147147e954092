import { randomBytes } from 'node:crypto';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';

/** The parts of a fleet in containers that NATS knows apart, each by a user of its own (`deploy/nats/nats.conf`). */
const natsUsers = ['migrate', 'registry', 'publish', 'edges', 'delivery-webhook', 'delivery-websub'] as const;

const password = (): string => randomBytes(24).toString('base64url');

/** What is made up, once. All else is put together from these. */
const originals: Readonly<Record<string, () => string>> = {
  'token-secret': () => randomBytes(32).toString('base64url'),
  'internal-secret': () => randomBytes(32).toString('base64url'),
  'secrets-keys': () => `k1:${randomBytes(32).toString('base64')}`,
  'nats-routes': password,
  redis: password,
  grafana: password,
  ...Object.fromEntries(natsUsers.map((user) => [`nats-${user}`, password])),
};

type Originals = (name: string) => string;

const servers = ['nats-1', 'nats-2', 'nats-3'].map((host) => `${host}:4222`);
const sentinels = ['sentinel-1', 'sentinel-2', 'sentinel-3'].map((host) => `${host}:26379`);

/** How the log is reached: three servers, or the first alone. */
const log = (user: string, of: Originals): Record<string, string> => ({
  'nats-url': `nats://${user}:${of(`nats-${user}`)}@${servers.join(',')}`,
  'nats-small-url': `nats://${user}:${of(`nats-${user}`)}@${servers[0]}`,
});

/** What every service has: the log, and by what the fleet knows it. */
const service = (user: string, of: Originals): Record<string, string> => ({
  ...log(user, of),
  'internal-secret': of('internal-secret'),
});

/** The files of each part: what a part has no use for is not in its folder. */
function partsOf(of: Originals): Readonly<Record<string, Readonly<Record<string, string>>>> {
  const tokens = { 'token-secret': of('token-secret') };
  return {
    nats: {
      'users.conf': natsUsers.map((user) => `${variable(user)}: ${quoted(of(`nats-${user}`))}\n`).join(''),
      'routes.conf': routes(of('nats-routes')),
    },
    redis: {
      'redis.conf': `requirepass ${of('redis')}\nmasterauth ${of('redis')}\n`,
      'sentinel.conf': `sentinel auth-pass pushfleet ${of('redis')}\n`,
      password: of('redis'),
    },
    migrate: log('migrate', of),
    registry: {
      ...service('registry', of),
      ...tokens,
      'secrets-keys': of('secrets-keys'),
      'redis-url': `redis+sentinel://:${of('redis')}@${sentinels.join(',')}/pushfleet`,
      'redis-small-url': `redis://:${of('redis')}@redis-1:6379`,
    },
    publish: { ...service('publish', of), ...tokens },
    edges: { ...service('edges', of), ...tokens },
    'delivery-webhook': service('delivery-webhook', of),
    'delivery-websub': service('delivery-websub', of),
    grafana: { 'admin-password': of('grafana') },
  };
}

const quoted = (text: string): string => JSON.stringify(text);

/** nats-server's configuration names a password by a variable. */
const variable = (user: string): string => `${user.replaceAll('-', '_').toUpperCase()}_PASSWORD`;

function routes(secret: string): string {
  const addresses = ['nats-1', 'nats-2', 'nats-3'].map((host) =>
    quoted(`nats://routes:${secret}@${host}:6222`),
  );
  return `authorization { user: routes, password: ${quoted(secret)} }\nroutes: [${addresses.join(', ')}]\n`;
}

/** What came of it, by names of files. */
export interface SecretsReport {
  readonly made: readonly string[];
  readonly written: readonly string[];
}

/**
 * Brings a folder of secrets up to date: `originals/` with what is made up once and kept, and a folder for each part with
 * what it needs. Files have mode 0600. Repeated, it changes nothing; an original that was taken away is made anew, and
 * what holds it is written again.
 *
 * @param owner user and group that the parts' folders belong to; absent, they stay whose they are
 */
export function writeSecrets(folder: string, owner?: number): SecretsReport {
  const kept = join(folder, 'originals');
  const made = Object.keys(originals).filter((name) => !existsSync(join(kept, name)));
  // A folder that was mounted belongs to whoever made it, and only its owner may narrow it.
  mkdirSync(kept, { recursive: true, mode: 0o700 });
  for (const name of made) replace(join(kept, name), (originals[name] as () => string)());
  const written: string[] = [];
  const parts = partsOf((name) => original(kept, name));
  for (const [part, files] of Object.entries(parts)) {
    const place = join(folder, part);
    mkdirSync(place, { recursive: true, mode: 0o700 });
    chmodSync(place, 0o700);
    if (owner !== undefined) chownSync(place, owner, owner);
    for (const [name, text] of Object.entries(files)) {
      const path = join(place, name);
      if (!existsSync(path) || readFileSync(path, 'utf8') !== text) {
        replace(path, text);
        written.push(`${part}/${name}`);
      }
      chmodSync(path, 0o600);
      if (owner !== undefined) chownSync(path, owner, owner);
    }
  }
  return { made, written };
}

/** What was made, or put there by hand. An empty password lets everybody in who knows the user's name. */
function original(folder: string, name: string): string {
  const path = join(folder, name);
  const text = readFileSync(path, 'utf8').trimEnd();
  if (text === '') throw new Error(`${path} is empty. Take it away, and another secret is made.`);
  // It stands in URLs and in the configuration of others.
  if (/^(nats|redis)/.test(name) && /[^\w.~-]/.test(text))
    throw new Error(`${path} has other characters than letters, digits, "-", "_", "." and "~".`);
  return text;
}

/** Whoever reads meanwhile has the old file or the new one; so has whoever reads after a power cut. */
function replace(path: string, text: string): void {
  writeFileSync(`${path}.new`, text, { mode: 0o600, flush: true });
  renameSync(`${path}.new`, path);
}
