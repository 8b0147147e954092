import { spawn } from 'node:child_process';
import { randomInt, randomUUID } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { freePort, temporaryFolder, until } from '@pushfleet/contract';
import type { Claims, EdgeService } from '../fleet.ts';
import type { Site } from '../trial.ts';
import { run } from './engine.ts';

const root = resolve(import.meta.dirname, '../../..');

/** Receivers of these tests are on this machine, and Docker takes its networks out of these. */
const fleetEnv = [
  'PUSHFLEET_OUTBOUND_ALLOW=172.16.0.0/12,192.168.0.0/16',
  'PUSHFLEET_WEBHOOK_UNCONFIRMED=true',
  'PUSHFLEET_SUBSCRIPTION_RATE=1000',
  'PUSHFLEET_DRAIN_SECONDS=3',
];

/** A container as `docker compose ps` shows it. */
interface Container {
  readonly ID: string;
  readonly Name: string;
  readonly Service: string;
  readonly State: string;
  readonly Health: string;
  readonly ExitCode: number;
}

/** The fleet of docker-compose.yml, under a name and at ports of its own; its volumes go when it does. */
export class Compose implements Site {
  readonly protocols = ['edge-sse', 'edge-websocket', 'edge-longpoll', 'edge-mqtt'] as const;
  readonly front: string;
  readonly grpc: { readonly address: string };
  readonly #mqtt: string;
  readonly #project: string;
  readonly #files: readonly string[];
  readonly #env: Readonly<Record<string, string>>;

  private constructor(files: readonly string[], [front, grpc, mqtt]: readonly number[]) {
    this.#project = `pushfleet-${randomUUID().slice(0, 8)}`;
    this.#files = files;
    this.front = `127.0.0.1:${front}`;
    this.grpc = { address: `127.0.0.1:${grpc}` };
    this.#mqtt = `127.0.0.1:${mqtt}`;
    const file = join(temporaryFolder('compose'), 'fleet.env');
    writeFileSync(file, fleetEnv.join('\n'));
    this.#env = {
      FLEET_ENV_FILE: file,
      FLEET_IMAGE: `${this.#project}:test`,
      REDIS_NET: `10.213.${1 + randomInt(250)}`,
      FRONT_PUBLISHED: String(front),
      GRPC_PUBLISHED: String(grpc),
      MQTT_PUBLISHED: String(mqtt),
    };
  }

  /** Builds the image and starts everything; resolves when all of it is healthy. */
  static async up(...more: readonly string[]): Promise<Compose> {
    const ports = [await freePort(), await freePort(), await freePort()];
    const fleet = new Compose(['docker-compose.yml', ...more], ports);
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
    const files = this.#files.flatMap((file) => ['--file', join(root, file)]);
    const where = ['--project-name', this.#project, '--project-directory', root];
    return run('docker', ['compose', '--progress', 'quiet', ...where, ...files, ...args], this.#env);
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
  async kill(service: string): Promise<Container> {
    const [instance] = await this.instancesOf(service);
    if (instance === undefined) throw new Error(`no ${service} runs that could be killed`);
    await run('docker', ['kill', instance.ID]);
    return instance;
  }

  /** Starts an instance again and waits until it is healthy. */
  async start({ ID, Name }: Container): Promise<void> {
    await run('docker', ['start', ID]);
    const healthy = async () => (await this.inspect(ID, '{{.State.Health.Status}}')) === 'healthy';
    await until(healthy, `${Name} to be healthy`, 120_000);
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
    return (await this.compose('logs', '--no-color', '--tail', '40')).slice(-30_000);
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
