import { createHash, randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { PushfleetError } from '@pushfleet/core';
import type { Log, Part } from '@pushfleet/runtime';
import { Cluster, Redis } from 'ioredis';
import type { RedisAddress } from './redis-url.ts';

export interface RedisConfig {
  readonly redis: RedisAddress;
  /** PEM. */
  readonly redisTlsCa: string | undefined;
}

/** A Lua script, which Redis knows by its digest once it has run there. */
export class Script {
  readonly source: string;
  readonly digest: string;

  constructor(source: string) {
    this.source = source;
    this.digest = createHash('sha1').update(source).digest('hex');
  }
}

type Argument = string | number | Buffer;

/** The registry's index: commands that fail fast while Redis is away, and the news of its return. */
export interface Store {
  /** @throws PushfleetError `unavailable` */
  command(name: string, ...args: Argument[]): Promise<unknown>;
  /**
   * Runs a script; the other keys that it touches share the hash tag of `key`.
   *
   * @throws PushfleetError `unavailable`
   */
  run(script: Script, key: string, ...args: Argument[]): Promise<unknown>;
  /** As `run`; strings of the answer are bytes. */
  read(script: Script, key: string, ...args: Argument[]): Promise<unknown>;
  /**
   * Runs a script that deals with several keys in turn, each with arguments of its own behind their number, and answers a
   * list. In a cluster, where keys lie apart, it is run for each.
   *
   * @throws PushfleetError `unavailable`, where any of them failed
   */
  runAll(script: Script, calls: readonly ScriptCall[]): Promise<unknown[]>;
  /** Calls `on` whenever Redis answers again after a command has failed, or answers but has lost what was in it. */
  onReturn(on: () => void): void;
}

/** A key, and what a script is told of it. */
export interface ScriptCall {
  readonly key: string;
  readonly args: readonly Argument[];
}

/** Keys of one run: Redis does nothing else meanwhile, for some hundreds of microseconds. */
const keysAtOnce = 64;
/** A command that has no answer by then has failed; a healthy Redis answers in well under a millisecond. */
const commandMs = 2_000;
const probeMs = 1_000;
const probeKeySeconds = 600;
const evicting =
  'Redis may evict subscriptions, to which nothing would be delivered then: set its maxmemory-policy to noeviction';

/** The connection to Redis. Starting does not wait for it: the registry can do half its work without. */
export class RedisStore implements Store, Part {
  readonly name = 'redis';
  readonly #client: Redis | Cluster;
  readonly #log: Log;
  // No namespace begins with "$". Each instance has a probe of its own, so that each learns of an emptied Redis.
  readonly #probeKey = `$:probe:${randomUUID()}`;
  readonly #listeners: (() => void)[] = [];
  #away: string | undefined = 'Redis has not answered yet';
  /** Whether a command has failed since the last probe that did not; a restart can be over before a probe sees it. */
  #failed = true;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(config: RedisConfig, log: Log) {
    this.#client = createClient(config);
    this.#log = log;
    // Without a listener the client writes to the console itself; the probe reports in our words.
    this.#client.on('error', () => {});
  }

  async start(): Promise<void> {
    // The first attempt is waited for, but not for long; the client tries on by itself, and the probe tells.
    const first = this.#client.connect().catch(() => {});
    await Promise.race([first, sleep(commandMs, undefined, { ref: false })]);
    await this.#probe();
  }

  async drain(): Promise<void> {}

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#client.disconnect();
  }

  ready(): string | undefined {
    return this.#away;
  }

  onReturn(on: () => void): void {
    this.#listeners.push(on);
  }

  command(name: string, ...args: Argument[]): Promise<unknown> {
    return this.#answer(() => this.#client.call(name, ...args));
  }

  run(script: Script, key: string, ...args: Argument[]): Promise<unknown> {
    return this.#run(script, (name, text) => this.#client.call(name, text, 1, key, ...args));
  }

  read(script: Script, key: string, ...args: Argument[]): Promise<unknown> {
    return this.#run(script, (name, text) => this.#client.callBuffer(name, text, 1, key, ...args));
  }

  async runAll(script: Script, calls: readonly ScriptCall[]): Promise<unknown[]> {
    const most = this.#client instanceof Cluster ? 1 : keysAtOnce;
    const runs: Promise<unknown>[] = [];
    for (let from = 0; from < calls.length; from += most) {
      const some = calls.slice(from, from + most);
      const args = some.flatMap((one) => [one.args.length, ...one.args]);
      const keys = some.map(({ key }) => key);
      runs.push(
        this.#run(script, (name, text) => this.#client.call(name, text, some.length, ...keys, ...args)),
      );
    }
    return (await Promise.all(runs)).flat();
  }

  #run(script: Script, call: (name: string, text: string) => Promise<unknown>): Promise<unknown> {
    return this.#answer(() =>
      call('EVALSHA', script.digest).catch((error: Error) => {
        if (!error.message.startsWith('NOSCRIPT')) throw error;
        return call('EVAL', script.source);
      }),
    );
  }

  async #answer(ask: () => Promise<unknown>): Promise<unknown> {
    try {
      return await ask();
    } catch (cause) {
      this.#failed = true;
      throw new PushfleetError('unavailable', 'The registry cannot reach its Redis. Try again in a moment.', {
        cause,
        retryAfterMs: probeMs,
      });
    }
  }

  async #probe(): Promise<void> {
    try {
      // Writing tells more than PING: a replica left behind by a failover answers PING and can do nothing else.
      const held = await this.command('SET', this.#probeKey, '1', 'EX', probeKeySeconds, 'GET');
      this.#here(held === null);
    } catch (error) {
      this.#gone(error as PushfleetError);
    }
    if (!this.#closed) this.#timer = setTimeout(() => void this.#probe(), probeMs);
  }

  #here(empty: boolean): void {
    const news = this.#failed || empty;
    if (this.#away !== undefined) this.#log.info('Redis answers');
    else if (empty) this.#log.warn('Redis was emptied; its index is being rebuilt from the log');
    if (this.#away !== undefined) void this.#checkEviction();
    this.#away = undefined;
    this.#failed = false;
    if (news) for (const listener of this.#listeners) listener();
  }

  /** A lost index is found and rebuilt; a part of it that was evicted by itself is missed by nobody. */
  async #checkEviction(): Promise<void> {
    const info = String(await this.#client.call('INFO', 'memory').catch(() => ''));
    const policy = /^maxmemory_policy:(\S+)/m.exec(info)?.[1];
    if (policy?.startsWith('allkeys-')) this.#log.error({ policy }, evicting);
  }

  #gone(error: PushfleetError): void {
    if (this.#away === undefined) this.#log.warn({ err: error.cause }, 'Redis does not answer');
    this.#away = `Redis does not answer: ${(error.cause as Error).message}`;
  }
}

function createClient({ redis: address, redisTlsCa: ca }: RedisConfig): Redis | Cluster {
  const node = {
    ...(address.username === undefined ? {} : { username: address.username }),
    ...(address.password === undefined ? {} : { password: address.password }),
    ...(address.tls ? { tls: ca === undefined ? {} : { ca } } : {}),
    connectionName: 'pushfleet-registry',
    connectTimeout: commandMs,
    commandTimeout: commandMs,
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false,
    reconnectOnError: (error: Error) => error.message.startsWith('READONLY'),
  };
  // Fail fast: a caller that is told can try again, one that waits in a queue cannot.
  const client = { lazyConnect: true, enableOfflineQueue: false };
  if (address.kind === 'cluster') {
    const options = { ...client, clusterRetryStrategy: reconnectDelay, redisOptions: node };
    return new Cluster([...address.nodes], options);
  }
  const single = { ...node, ...client, db: address.database, retryStrategy: reconnectDelay };
  if (address.kind === 'standalone') return new Redis({ ...single, ...address.nodes[0] });
  return new Redis({
    ...single,
    sentinels: [...address.nodes],
    name: address.master as string,
    sentinelRetryStrategy: reconnectDelay,
    enableTLSForSentinelMode: address.tls,
  });
}

/** Soon, and jittered, so that the instances of a fleet do not come back in step. */
function reconnectDelay(attempt: number): number {
  return Math.min(50 * attempt, 1_000) * (0.5 + Math.random() / 2);
}
