import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { readRoutes } from '@pushfleet/runtime';
import { migrateFrom } from '../commands/migrate.ts';
import { root, sealingKeyFile, secretFile } from '../local/state.ts';
import {
  findNatsServer,
  findRedisServer,
  isFree,
  runNats,
  runRedis,
  runService,
  serviceReady,
  withFreePorts,
} from '../servers/mod.ts';
import { type Front, openFront } from './front.ts';
import type { LaunchOptions } from './options.ts';
import { Page } from './page.ts';
import { pageTokens } from './page-token.ts';
import type { Roster } from './roster.ts';

export interface StartOptions extends LaunchOptions {
  readonly roster: Roster;
  readonly progress: (line: string) => void;
}

/** Starts everything in the order in which the parts need each other; resolves with the front when all are ready. */
export async function startFleet(o: StartOptions): Promise<Front> {
  rmSync(join(o.state, 'logs'), { recursive: true, force: true });
  const front = await openFront(
    {
      routes: readRoutes(),
      addressOf: (service) => o.roster.addressOf(service, 'http'),
      page: new Page({ token: o.pageToken ? pageTokens(o.state) : undefined }),
    },
    o.port,
  );
  try {
    const [natsUrl, redisUrl] = await Promise.all([startNats(o), startRedis(o)]);
    o.progress('Setting up the streams …');
    await migrateFrom({ ...process.env, PUSHFLEET_NATS_URL: natsUrl });
    await startServices(o, {
      PUSHFLEET_NATS_URL: natsUrl,
      ...(redisUrl !== undefined && { PUSHFLEET_REDIS_URL: redisUrl }),
      PUSHFLEET_PUBLIC_URL: front.url,
      ...secretsOf(o.state),
      ...hospitality(),
      ...hurry(),
    });
  } catch (error) {
    await front.close();
    throw error;
  }
  return front;
}

const logOf = (o: StartOptions, name: string): string => join(o.state, 'logs', `${name}.log`);

async function startNats(o: StartOptions): Promise<string> {
  const given = process.env.PUSHFLEET_NATS_URL;
  if (given !== undefined && given !== '') return given;
  const binary = await findNatsServer({ root, progress: o.progress });
  o.progress('Starting NATS …');
  const options = { binary, directory: join(o.state, 'data/nats'), name: 'nats', log: logOf(o, 'nats') };
  const nats = await withFreePorts(2, ([port = 0, monitorPort = 0]) =>
    runNats({ ...options, port, monitorPort, onStart: o.roster.add('nats') }),
  );
  o.roster.found('nats', { nats: new URL(nats.url).host, monitor: new URL(nats.monitorUrl).host });
  return nats.url;
}

/** Only the registry talks to Redis: without it none is started. */
async function startRedis(o: StartOptions): Promise<string | undefined> {
  const given = process.env.PUSHFLEET_REDIS_URL;
  if (given !== undefined && given !== '') return given;
  if (!o.services.includes('registry')) return undefined;
  const binary = await findRedisServer({ root, progress: o.progress });
  o.progress('Starting Redis …');
  const options = { binary, directory: join(o.state, 'data/redis'), log: logOf(o, 'redis') };
  const redis = await withFreePorts(1, ([port = 0]) =>
    runRedis({ ...options, port, onStart: o.roster.add('redis') }),
  );
  o.roster.found('redis', { redis: new URL(redis.url).host });
  return redis.url;
}

async function startServices(o: StartOptions, env: Readonly<Record<string, string>>): Promise<void> {
  const start = async (name: string, more: Readonly<Record<string, string>> = {}): Promise<void> => {
    o.progress(`Starting ${name} …`);
    const log = logOf(o, name);
    const options = { root, name, env: { ...env, ...more }, log, onStart: o.roster.add(name) };
    const service = await runService(options);
    await serviceReady(name, service);
    o.roster.found(name, service.addresses);
  };
  const others = o.services.filter((name) => name !== 'registry');
  if (others.length < o.services.length) await start('registry');
  const registry = o.roster.addressOf('registry', 'grpc');
  const more = registry === undefined ? {} : { PUSHFLEET_REGISTRY_URL: `http://${registry}` };
  const mqtt = await mqttListeners(o);
  await Promise.all(others.map((name) => start(name, name === 'edge-mqtt' ? { ...more, ...mqtt } : more)));
}

/** MQTT stands behind no front, and clients look for it at its usual ports: it gets those wherever nobody else has them. */
async function mqttListeners({ port }: StartOptions): Promise<Record<string, string>> {
  const usual = [['LISTEN', 1883] as const, ['TLS_LISTEN', 8883] as const, ['WEBSOCKET_LISTEN'] as const];
  const found = usual.map(async ([name, at]) => {
    const variable = `PUSHFLEET_EDGE_MQTT_${name}`;
    const given = process.env[variable];
    // Who wants the front at any port wants no certain one.
    const free = !given && port !== 0 && at !== undefined && (await isFree(at));
    return given || free ? [[variable, given || `127.0.0.1:${at}`] as const] : [];
  });
  return Object.fromEntries((await Promise.all(found)).flat());
}

// What is generated travels as files, out of every process list.
const secretsOf = (state: string): Record<string, string> => ({
  ...unlessGiven('PUSHFLEET_TOKEN_SECRET', 'PUSHFLEET_TOKEN_SECRET_FILE', secretFile(state)),
  ...unlessGiven('PUSHFLEET_SECRETS_KEYS', 'PUSHFLEET_SECRETS_KEYS_FILE', sealingKeyFile(state)),
});

// Webhooks of a local fleet end on this machine, at programs that are being written: those may be called, in clear,
// and need not confirm that they want it. Nothing else that is private may be.
const hospitality = (): Record<string, string> => ({
  ...unlessGiven('PUSHFLEET_OUTBOUND_ALLOW', 'PUSHFLEET_OUTBOUND_ALLOW', '127.0.0.0/8,::1,localhost'),
  ...unlessGiven('PUSHFLEET_WEBHOOK_UNCONFIRMED', 'PUSHFLEET_WEBHOOK_UNCONFIRMED', 'true'),
});

// A person who pressed Ctrl-C waits for the end.
const hurry = (): Record<string, string> =>
  unlessGiven('PUSHFLEET_DRAIN_SECONDS', 'PUSHFLEET_DRAIN_SECONDS', '3');

/** Variables of the caller's own stand. */
const unlessGiven = (name: string, other: string, value: string): Record<string, string> =>
  process.env[name] || process.env[other] ? {} : { [other]: value };
