// What the tests of the transport share; nothing else imports it.

import { connect } from 'node:net';
import type { Duplex } from 'node:stream';
import { until } from '@pushfleet/contract';
import type { Member, PushfleetError, Topic } from '@pushfleet/core';
import type { Entry, Parting, Presence, PresenceClient } from '@pushfleet/edge';
import {
  type Scope,
  type Started,
  startOn,
  type TestShared,
  testEnv,
  testFooting,
  token as tokenOf,
} from '@pushfleet/edge/testing';
import { createIntake } from '@pushfleet/intake';
import { type Grant, noTraces, readConfig } from '@pushfleet/runtime';
import { encodeFromClient, type Received, readFromServer } from './codec/testing-client.ts';
import type { ClientPacket, Version } from './codec.ts';
import { fields } from './config.ts';
import { Edge } from './edge.ts';
import { connectOf, type Of } from './session/testing.ts';

/** A token that may subscribe, publish and be present everywhere, unless `claims` say otherwise. */
export const token = (claims: object = {}): string =>
  tokenOf({ pushfleet: { subscribe: ['#'], publish: ['#'], presence: ['#'] }, ...claims });

/** Presence in the memory of a test. */
export class FakePresence implements Pick<Presence, 'enter' | 'leaveAll'> {
  /** Who is where: `topic subject client status state`, by topic and connection. */
  readonly members = new Map<string, string>();
  readonly partings: Parting[] = [];
  /** What is to go wrong; undefined: nothing. */
  refuse: PushfleetError | undefined;
  /** Entries that were asked for. */
  asked = 0;
  /** While set, nobody is entered. */
  stalled: Promise<void> | undefined;

  get all(): readonly string[] {
    return [...this.members.values()].sort();
  }

  async enter(grant: Grant, topic: Topic, client: PresenceClient, entry: Entry): Promise<Member> {
    const { subject } = grant;
    this.asked++;
    const { status = 'online', state = new Uint8Array(), stateContentType = '' } = entry;
    await this.stalled;
    if (this.refuse !== undefined) throw this.refuse;
    const said = `${topic} ${subject} ${client.id} ${status} ${Buffer.from(state).toString()}`;
    this.members.set(`${topic} ${client.connection}`, said.trim());
    return { subject, client: client.id, status, state, stateContentType, since: 0, changed: 0, revision: 1 };
  }

  leaveAll(connection: string, how: Parting): void {
    const gone = [...this.members.keys()].filter((key) => key.endsWith(` ${connection}`));
    if (gone.length > 0) this.partings.push(how);
    for (const key of gone) this.members.delete(key);
  }
}

export interface TestEdge extends Started<Edge> {
  readonly url: string;
  readonly presence: FakePresence;
}

/** An edge on a free port of this machine until the scope ends; `env` as an operator would set it. */
export async function startEdge(
  scope: Scope,
  env: Record<string, string> = {},
  shared: TestShared = {},
): Promise<TestEdge> {
  const listen = {
    PUSHFLEET_EDGE_MQTT_TLS_LISTEN: '127.0.0.1:0',
    PUSHFLEET_EDGE_MQTT_WEBSOCKET_LISTEN: '127.0.0.1:0',
  };
  const config = readConfig(fields, testEnv('MQTT', { ...listen, ...env }));
  const footing = await testFooting(scope, config, 'mqtt', shared);
  const { backbone, quotas, log } = footing;
  const { intake } = createIntake({
    ...{ config, backbone, quotas, log, instance: 'test' },
    terms: () => undefined,
    policies: { of: () => ({ history: true, presence: true }), quota: () => ({}), limitsStorage: false },
  });
  const presence = new FakePresence();
  const edge = new Edge({ config, traces: noTraces, intake, presence, ...footing });
  const started = await startOn(scope, footing, edge);
  return { ...started, url: `mqtt://127.0.0.1:${started.port}`, presence };
}

/** A client that writes bytes as it is told and remembers what comes. */
export class RawMqtt {
  readonly socket: Duplex;
  readonly #version: Version;
  readonly received: Received[] = [];
  #rest: Buffer = Buffer.alloc(0);
  ended = false;

  /** @param socket one that something else was done with before */
  constructor(
    { port }: Pick<TestEdge, 'port'>,
    version: Version = 5,
    socket: Duplex = connect(port, '127.0.0.1'),
  ) {
    this.#version = version;
    this.socket = socket;
    this.socket.on('data', (bytes) => {
      const all = Buffer.concat([this.#rest, bytes]);
      const end = endOfPackets(all);
      this.received.push(...readFromServer(all.subarray(0, end), this.#version));
      this.#rest = all.subarray(end);
    });
    this.socket.on('error', () => {});
    this.socket.on('close', () => {
      this.ended = true;
    });
  }

  /** One whose CONNECT is accepted. */
  static async open(
    edge: Pick<TestEdge, 'port'>,
    over: Parameters<typeof connectOf>[0] = {},
    claims: object = {},
  ): Promise<RawMqtt> {
    const client = new RawMqtt(edge, over.version);
    client.send(connectOf({ password: Buffer.from(token(claims)), ...over }));
    await client.has('connack');
    return client;
  }

  send(...packets: ClientPacket[]): void {
    this.socket.write(Buffer.concat(packets.map((packet) => encodeFromClient(packet, this.#version))));
  }

  of<T extends Received['type']>(type: T): Of<T>[] {
    return this.received.filter((one): one is Of<T> => one.type === type);
  }

  async has<T extends Received['type']>(type: T, count = 1): Promise<Of<T>[]> {
    await until(() => this.of(type).length >= count || this.ended, `${count} of ${type}`);
    return this.of(type);
  }

  async end(): Promise<readonly Received[]> {
    await until(() => this.ended, 'the connection ends');
    return this.received;
  }
}

/** Behind the last packet that is there to its end. */
function endOfPackets(bytes: Buffer): number {
  for (let start = 0; ; ) {
    let at = start + 1;
    let length = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = bytes[at++];
      if (byte === undefined) return start;
      length |= (byte & 0x7f) << shift;
      if (byte < 0x80) break;
    }
    if (at + length > bytes.length) return start;
    start = at + length;
  }
}
