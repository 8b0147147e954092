import { spawn } from 'node:child_process';
import { randomInt, randomUUID } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { freePort, temporaryFolder, until } from '@pushfleet/contract';
import { mistrustMs } from '../faults.ts';
import type { Claims, EdgeService } from '../fleet.ts';
import type { Site } from '../trial.ts';
import { run } from './engine.ts';

const root = resolve(import.meta.dirname, '../../..');

/** What tests need everywhere. */
const testEnv = {
  // Receivers of these tests are on this machine, and Docker takes its networks out of these.
  PUSHFLEET_OUTBOUND_ALLOW: '172.16.0.0/12,192.168.0.0/16',
  PUSHFLEET_WEBHOOK_UNCONFIRMED: 'true',
  PUSHFLEET_SUBSCRIPTION_RATE: '1000',
  PUSHFLEET_DRAIN_SECONDS: '3',
};

/** A container as `docker compose ps` shows it. */
interface Container {
  readonly ID: string;
  readonly Name: string;
  readonly Service: string;
  readonly State: string;
  readonly Health: string;
  readonly ExitCode: number;
}

/** The engine and what is in the images that docker-compose.yml names, in a few words. */
export async function engineVersions(): Promise<string> {
  const inside = async (image: string, ...command: readonly string[]) => {
    const told = await run('docker', ['run', '--rm', '--entrypoint', '', image, ...command]);
    return /\d+\.\d+\.\d+/.exec(told)?.[0];
  };
  const engine = await run('docker', ['version', '--format', '{{.Server.Version}}']);
  const compose = await run('docker', ['compose', 'version', '--short']);
  const nats = await inside('nats:2.15-alpine', 'nats-server', '--version');
  const redis = await inside('redis:7-alpine', 'redis-server', '--version');
  const caddy = await inside('caddy:2-alpine', 'caddy', 'version');
  return `Docker ${engine}, Compose ${compose}, nats-server ${nats}, Redis ${redis}, Caddy ${caddy}`;
}

/** Those that docker-compose.yml has. */
export const edges = ['edge-sse', 'edge-websocket', 'edge-longpoll', 'edge-mqtt'] as const;

/** The fleet of docker-compose.yml, under a name and at ports of its own; its volumes go when it does. */
export class Compose implements Site {
  readonly protocols = edges;
  readonly front: string;
  readonly grpc: { readonly address: string };
  readonly #mqtt: string;
  readonly #project: string;
  readonly #env: Readonly<Record<string, string>>;

  private constructor(env: Readonly<Record<string, string>>, [front, grpc, mqtt]: readonly number[]) {
    this.#project = `pushfleet-${randomUUID().slice(0, 8)}`;
    this.front = `127.0.0.1:${front}`;
    this.grpc = { address: `127.0.0.1:${grpc}` };
    this.#mqtt = `127.0.0.1:${mqtt}`;
    const file = join(temporaryFolder('compose'), 'fleet.env');
    const lines = Object.entries({ ...testEnv, ...env }).map(([name, value]) => `${name}=${value}`);
    writeFileSync(file, lines.join('\n'));
    this.#env = {
      FLEET_ENV_FILE: file,
      FLEET_IMAGE: `${this.#project}:test`,
      REDIS_NET: `10.213.${1 + randomInt(250)}`,
      FRONT_PUBLISHED: String(front),
      GRPC_PUBLISHED: String(grpc),
      MQTT_PUBLISHED: String(mqtt),
    };
  }

  /**
   * Builds the image and starts everything; resolves when all of it is healthy.
   *
   * @param env for every service
   */
  static async up(env: Readonly<Record<string, string>> = {}): Promise<Compose> {
    const ports = [await freePort(), await freePort(), await freePort()];
    const fleet = new Compose(env, ports);
    process.once('exit', fleet.#leave);
    try {
      await fleet.compose('up', '--detach', '--build', '--wait');
    } catch (error) {
      const logs = await fleet.logs();
      await fleet.down();
      throw new Error(`the fleet did not come up:\n${logs}`, { cause: error });
    }
    return fleet;
  }

  compose(...args: readonly string[]): Promise<string> {
    const where = ['--project-name', this.#project, '--project-directory', root];
    return run('docker', ['compose', '--progress', 'quiet', ...where, ...args], this.#env);
  }

  /** All of them, those that ended included. */
  async containers(): Promise<readonly Container[]> {
    const lines = (await this.compose('ps', '--all', '--format', 'json')).split('\n');
    return lines.filter((line) => line !== '').map((line) => JSON.parse(line) as Container);
  }

  /** The instances of a service that run. */
  async instancesOf(service: string): Promise<readonly Container[]> {
    return (await this.containers()).filter(
      ({ Service, State }) => Service === service && State === 'running',
    );
  }

  /** SIGKILL to one instance of a service, which stays away until it is started. */
  async killOne(service: string): Promise<void> {
    const [instance] = await this.instancesOf(service);
    if (instance === undefined) throw new Error(`no ${service} runs that could be killed`);
    await run('docker', ['kill', instance.ID]);
  }

  /** Starts what is away of these services, and waits until all of them is healthy. */
  async startAgain(...services: readonly string[]): Promise<void> {
    await this.compose('up', '--detach', '--wait', '--no-deps', ...services);
  }

  /** Stops an instance as an upgrade would, starts it again, and waits until it is healthy. */
  async restart({ ID, Name }: Container): Promise<void> {
    await run('docker', ['restart', '--time', '40', ID]);
    const healthy = async () => (await this.inspect(ID, '{{.State.Health.Status}}')) === 'healthy';
    await until(healthy, `${Name} to be healthy`, 120_000);
  }

  /** As `settled` of faults.ts: resolves once every stream has had its leader for long enough. */
  async settled(): Promise<void> {
    const old = async (): Promise<boolean> => {
      const told = (
        await Promise.all(['nats-1', 'nats-2', 'nats-3'].map((name) => this.#streams(name)))
      ).flat();
      // A server tells since when of the streams that it leads itself.
      const led = told.filter(({ since }) => Date.now() - since > mistrustMs + 1_000);
      return told.length > 0 && told.every(({ name }) => led.some((one) => one.name === name));
    };
    await until(old, 'leaders that stay');
  }

  async #streams(server: string): Promise<{ readonly name: string; readonly since: number }[]> {
    const url = 'http://127.0.0.1:8222/jsz?streams=true';
    const { account_details = [] } = JSON.parse(
      await this.compose('exec', '-T', server, 'wget', '-q', '-O', '-', url),
    ) as {
      account_details?: {
        stream_detail?: { name: string; cluster?: { leader_since?: string } }[];
      }[];
    };
    return account_details.flatMap(({ stream_detail = [] }) =>
      stream_detail.map(({ name, cluster }) => ({ name, since: Date.parse(cluster?.leader_since ?? '') })),
    );
  }

  /** Which Redis Sentinel calls the primary. */
  async primary(): Promise<string> {
    const ask = ['redis-cli', '-p', '26379', 'sentinel', 'get-master-addr-by-name', 'pushfleet'];
    const [address = ''] = (await this.compose('exec', '-T', 'sentinel-1', ...ask)).split('\n');
    return address.endsWith('.11') ? 'redis-1' : 'redis-2';
  }

  door(name: EdgeService): { readonly address: string } {
    return { address: name === 'edge-mqtt' ? this.#mqtt : this.front };
  }

  /** Where subscriptions are managed. */
  get registry(): { readonly addresses: Readonly<Record<string, string>> } {
    return { addresses: { http: this.front } };
  }

  token({ sub = 'tester', ns, ...grants }: Claims): Promise<string> {
    const { publish = [], subscribe = [], presence = [], manage = [] } = grants;
    const lists = { publish, subscribe, presence, manage: manage === true ? ['#'] : manage };
    const filters = Object.entries(lists).flatMap(([name, list]) =>
      list.flatMap((filter) => [`--${name}`, filter]),
    );
    const namespace = ns === undefined ? [] : ['--ns', ns];
    return this.#pushfleet('token', '--sub', sub, ...namespace, ...filters);
  }

  /** The command, in a container that has the secret of tokens. */
  #pushfleet(...args: readonly string[]): Promise<string> {
    return this.compose('exec', '-T', 'publish', 'pushfleet', ...args);
  }

  /** An address of this machine that the containers reach. */
  gateway(): Promise<string> {
    const format = '{{(index .IPAM.Config 0).Gateway}}';
    return run('docker', ['network', 'inspect', `${this.#project}_fleet`, '--format', format]);
  }

  inspect(id: string, format: string): Promise<string> {
    return run('docker', ['inspect', id, '--format', format]);
  }

  async logs(): Promise<string> {
    return this.compose('logs', '--no-color', '--tail', '400');
  }

  async down(): Promise<void> {
    process.off('exit', this.#leave);
    await this.compose('down', '--volumes', '--timeout', '5');
    await run('docker', ['image', 'rm', '--force', this.#env.FLEET_IMAGE as string]);
  }

  /** A process that ends early leaves no containers behind. */
  readonly #leave = (): void => {
    const args = ['compose', '--project-name', this.#project, 'down', '--volumes', '--timeout', '1'];
    spawn('docker', args, { detached: true, stdio: 'ignore' }).unref();
  };
}
