import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  Authority,
  type Collector,
  startCollector,
  temporaryFolder,
  until,
  withoutOpenssl,
} from '@pushfleet/contract';
import { type Claims, type EdgeService, Fleet, token } from '../fleet.ts';
import { webhookEnv } from '../webhooks.ts';
import { ScramUser } from './scram.ts';
import { HostileIssuer } from './tokens.ts';
import type { Ask, Heard, Way } from './way.ts';

/** Limits as small as an operator could set them, so that whoever oversteps them is dealt with soon. */
const limits: Readonly<Record<string, string>> = {
  PUSHFLEET_REQUEST_SECONDS: '12',
  PUSHFLEET_PUBLISH_BODY_SECONDS: '2',
  PUSHFLEET_PUBLISH_KEEP_ALIVE_SECONDS: '2',
  PUSHFLEET_EDGE_WEBSOCKET_AUTH_SECONDS: '3',
  PUSHFLEET_EDGE_LONGPOLL_BAYEUX_BEGIN_SECONDS: '3',
  PUSHFLEET_EDGE_MQTT_CONNECT_SECONDS: '3',
};

type ServiceName = EdgeService | 'publish' | 'registry' | 'delivery-websub';

/** One fleet that is attacked, whatever it says and whatever secrets it is told. */
export class Site {
  readonly fleet: Fleet;
  readonly issuer: HostileIssuer;
  /** Who logs in by SCRAM. */
  readonly device: ScramUser;
  /** Signs the certificate of MQTT over TLS. */
  readonly authority: string | undefined;
  readonly #collector: Collector;
  /** What must be found in no log, metric or refusal, with a name for reports. */
  readonly #secrets = new Map<string, string>();
  /** Everything that refusals said: heads and bodies. */
  readonly #refusals: string[] = [];

  private constructor(
    { fleet, issuer, device, authority }: Pick<Site, 'fleet' | 'issuer' | 'device' | 'authority'>,
    collector: Collector,
  ) {
    this.fleet = fleet;
    this.issuer = issuer;
    this.device = device;
    this.authority = authority;
    this.#collector = collector;
  }

  static async start(): Promise<Site> {
    const issuer = new HostileIssuer();
    const device = new ScramUser('meter');
    const users = join(temporaryFolder('scram'), 'users.json');
    writeFileSync(users, JSON.stringify([device.entry]));
    const collector = await startCollector();
    const authority = withoutOpenssl ? undefined : new Authority();
    const certificate = authority?.issue('IP:127.0.0.1');
    const env = {
      ...webhookEnv,
      ...limits,
      ...(certificate !== undefined && {
        PUSHFLEET_EDGE_MQTT_TLS_LISTEN: '127.0.0.1:0',
        PUSHFLEET_EDGE_MQTT_TLS_CERT: certificate.cert,
        PUSHFLEET_EDGE_MQTT_TLS_KEY: certificate.key,
      }),
      PUSHFLEET_TRACES_URL: collector.url,
      PUSHFLEET_LOG_LEVEL: 'trace',
      PUSHFLEET_TOKEN_ISSUERS: JSON.stringify([issuer.declared]),
      PUSHFLEET_EDGE_MQTT_SCRAM_USERS_FILE: users,
      // Nothing of this machine may be called, whoever asks for it.
      PUSHFLEET_OUTBOUND_ALLOW: '',
      PUSHFLEET_POLICIES_FILE: publicTopics(),
    };
    const protocols = ['edge-sse', 'edge-websocket', 'edge-longpoll', 'edge-mqtt'] as const;
    const fleet = await Fleet.start({ protocols, workers: 1, hubs: 1, env });
    const site = new Site({ fleet, issuer, device, authority: authority?.cert }, collector);
    if (certificate !== undefined) site.keep('the key of a certificate', keyLine(certificate.key));
    for (const secret of device.secrets) site.keep('a secret of a SCRAM user', secret);
    for (const [name, value] of Object.entries(site.fleet.env)) {
      if (/_(SECRET|KEYS)$/.test(name)) site.keep(name, value.replace(/^test:/, ''));
    }
    return site;
  }

  /** host:port of a listener, without anything in front of it. */
  at(name: ServiceName, listener = name === 'edge-mqtt' ? 'mqtt' : 'http'): string {
    const service = this.fleet.services.find((one) => one.name === name);
    return service?.addresses[listener] as string;
  }

  /** A good token, by the secret of the fleet. */
  async token(claims: Claims): Promise<string> {
    return this.keepToken('a token', await token(claims));
  }

  /** From now on it is looked for wherever it must not be. */
  keep(name: string, secret: string): string {
    this.#secrets.set(secret, name);
    return secret;
  }

  /** The parts of a token by themselves: a signature alone is bad enough. Its head is no secret. */
  keepToken(name: string, jwt: string): string {
    const [, ...parts] = jwt.split('.');
    for (const part of parts) if (part.length > 20) this.keep(name, part);
    return jwt;
  }

  async stop(): Promise<void> {
    await this.fleet.stop();
    await this.#collector.stop();
  }

  /** What the way says; where it refuses it must not say a secret, which is looked for later. */
  async enter(way: Way, ask: Ask): Promise<Heard> {
    const heard = await way.enter(this, ask);
    if (/[a-z]+_[a-z]+|forbidden|unauthenticated/.test(heard.brief)) this.refused(heard.text());
    return heard;
  }

  refused(text: string): void {
    this.#refusals.push(text);
  }

  /** Where secrets are found: "a token in the log of edge-sse: …". */
  async leaks(): Promise<readonly string[]> {
    const { spans } = this.#collector;
    if (spans.length === 0) throw new Error('no span was collected');
    const places: (readonly [string, string])[] = [
      ['a refusal', this.#refusals.join('\n')],
      ['a trace', JSON.stringify(spans)],
    ];
    for (const service of this.fleet.services) {
      places.push([`the log of ${service.name}`, service.logs()]);
      const metrics = await fetch(`http://${service.addresses.ops}/metrics`);
      places.push([`the metrics of ${service.name}`, await metrics.text()]);
    }
    return places.flatMap(([place, text]) =>
      [...this.#secrets].flatMap(([secret, name]) => {
        const at = text.indexOf(secret);
        return at < 0 ? [] : [`${name} in ${place}: ${text.slice(Math.max(0, at - 300), at + 40)}`];
      }),
    );
  }

  /** An honest client of each way in still gets service: what it writes it reads. */
  async serves(ways: readonly Way[]): Promise<void> {
    const claims = {
      sub: 'honest',
      publish: ['#'],
      subscribe: ['#'],
      presence: ['#'],
      manage: true,
    } as const;
    const token = await this.token(claims);
    await Promise.all(
      ways
        .filter(({ right, resumes }) => right === 'subscribe' && resumes)
        .map(async (way) => {
          const text = randomBytes(8).toString('hex');
          const topic = `honest/${text}`;
          const after = await this.publish(token, topic, 'before');
          await this.publish(token, topic, text);
          const heard = await this.enter(way, { token, topic, after });
          await until(() => heard.text().includes(text), `service over ${way.name} (${heard.brief})`);
          heard.close();
        }),
    );
  }

  /** Resolves to its cursor. */
  async publish(token: string, topic: string, text: string, retain = false): Promise<string> {
    const answer = await fetch(`http://${this.at('publish')}/v1/topics?${new URLSearchParams({ topic })}`, {
      method: 'POST',
      body: text,
      headers: {
        authorization: `Bearer ${token}`,
        'content-type': 'text/plain',
        ...(retain && { 'pushfleet-retain': 'true' }),
      },
    });
    if (!answer.ok) throw new Error(`a publication was answered ${answer.status}: ${await answer.text()}`);
    return ((await answer.json()) as { cursor: string }).cursor;
  }
}

/** A line of the key itself. */
const keyLine = (pem: string): string => pem.split('\n')[1] as string;

function publicTopics(): string {
  const file = join(temporaryFolder('policies'), 'policies.json');
  writeFileSync(file, JSON.stringify({ topics: [{ namespace: 'default', filter: 'news/#', public: true }] }));
  return file;
}
