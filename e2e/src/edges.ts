import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { temporaryFolder } from '@pushfleet/contract';
import {
  type EdgeProtocol,
  type FleetUnderTest,
  type Holder,
  type Sent,
  suiteOutboxBytes,
  suitePolicies,
} from '@pushfleet/contract/edge-suite';
import { faults, settled } from './faults.ts';
import { type EdgeService, Fleet, isEdge, listenerOf, token } from './fleet.ts';

/** Two instances of every edge, as the suite of edges wants them. */
export class EdgeFleet implements FleetUnderTest {
  readonly #fleet: Fleet;
  readonly #tokens = new Map<string, Promise<string>>();

  private constructor(fleet: Fleet) {
    this.#fleet = fleet;
  }

  static async start(protocols: readonly EdgeProtocol[]): Promise<EdgeFleet> {
    const services = [...new Set(protocols.map(({ service }) => service))];
    const policies = join(temporaryFolder('policies'), 'policies.json');
    writeFileSync(policies, JSON.stringify(suitePolicies));
    const outboxes = services.map((name) => [
      `PUSHFLEET_${name.replace('-', '_').toUpperCase()}_OUTBOX_BYTES`,
      String(suiteOutboxBytes),
    ]);
    const env = {
      PUSHFLEET_POLICIES_FILE: policies,
      PUSHFLEET_DRAIN_SECONDS: '2',
      // Otherwise Comet's clients come back before they are too slow.
      PUSHFLEET_EDGE_LONGPOLL_RESPONSE_BYTES: '1GiB',
      ...Object.fromEntries(outboxes),
    };
    const fleet = await Fleet.start({
      natsServers: 3,
      shards: 2,
      edges: 2,
      publishers: 2,
      protocols: services.filter(isEdge),
      env,
    });
    // Each poll resumes: near an election it would be given again what it has, as it should be.
    await settled(fleet);
    return new EdgeFleet(fleet);
  }

  token({ namespace, subject, lifetime = 3_600, subscribe = ['#'] }: Holder): Promise<string> {
    const ns = namespace;
    return token({ ns, sub: subject, expires: `${lifetime}s`, publish: ['#'], subscribe });
  }

  addresses({ service }: EdgeProtocol): readonly string[] {
    const listener = service === 'publish' ? 'grpc' : listenerOf(service as EdgeService);
    return this.#instances(service).map(({ addresses }) => addresses[listener] as string);
  }

  #instances(service: string) {
    return service === 'publish' ? this.#fleet.publishers : this.#fleet.edgesOf(service as EdgeService);
  }

  async publish({ namespace, topic, id, text, retain = false }: Sent): Promise<{ duplicate: boolean }> {
    const answer = await fetch(
      `http://${this.#fleet.http.address}/v1/topics?topic=${encodeURIComponent(topic)}`,
      {
        method: 'POST',
        body: text,
        headers: {
          authorization: `Bearer ${await this.#publisher(namespace)}`,
          'content-type': 'text/plain',
          'idempotency-key': id,
          ...(retain && { 'pushfleet-retain': 'true' }),
        },
      },
    );
    if (!answer.ok) throw new Error(`HTTP ${answer.status}: ${await answer.text()}`);
    return (await answer.json()) as { duplicate: boolean };
  }

  #publisher(ns: string): Promise<string> {
    const known = this.#tokens.get(ns) ?? token({ ns, sub: 'publisher', publish: ['#'], manage: true });
    this.#tokens.set(ns, known);
    return known;
  }

  async revoke({ namespace, subject }: Holder): Promise<void> {
    const answer = await fetch(`http://${this.#fleet.registry.addresses.http}/v1/revocations`, {
      method: 'POST',
      body: JSON.stringify({ subject }),
      headers: {
        authorization: `Bearer ${await this.#publisher(namespace)}`,
        'content-type': 'application/json',
      },
    });
    if (!answer.ok) throw new Error(`HTTP ${answer.status}: ${await answer.text()}`);
  }

  async drainOldest(): Promise<void> {
    await Promise.all([
      faults['SIGTERM of an edge'](this.#fleet),
      faults['SIGTERM of a publish service'](this.#fleet),
    ]);
  }

  async changeLeader(): Promise<void> {
    await faults["kill -9 of a stream leader's server"](this.#fleet);
  }

  logs(): string {
    return this.#fleet.logs();
  }

  stop(): Promise<void> {
    return this.#fleet.stop();
  }
}
