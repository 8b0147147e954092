// What this service's tests share; nothing else imports it.
import { setImmediate as turn } from 'node:timers/promises';
import { createMemoryBackbone, type MemoryBackbone } from '@pushfleet/bus';
import { SimulatedClock } from '@pushfleet/contract/simulation';
import {
  type Draft,
  defaultNamespace,
  PushfleetError,
  parseTopic,
  parseTopicFilter,
  type Stored,
} from '@pushfleet/core';
import { type CloseCode, type Parting, Runs } from '@pushfleet/edge';
import { createHubs, type HubOptions, type Hubs } from '@pushfleet/hub';
import type { Publish as Submitted } from '@pushfleet/intake';
import { createGrant, type Grant } from '@pushfleet/runtime';
import type { SessionAuth } from '../auth/renewal.ts';
import { type FilterName, splitShare } from '../codec/names.ts';
import { encodeFromClient, type Received, readFromServer } from '../codec/testing-client.ts';
import type { ClientPacket, Connect, Publish, Qos, Subscribe, Version } from '../codec.ts';
import { Decoder } from '../codec.ts';
import { readPresent } from '../presence.ts';
import { MemoryStore } from './memory-store.ts';
import { PacketIds } from './packet-ids.ts';
import { Session } from './session.ts';
import type { SessionOptions, SessionShared, SessionWire } from './session-options.ts';
import { SharedGroups } from './shared-groups.ts';
import type { HeldSession, OwedWill, SessionStore } from './store.ts';
import { agree, type ServerTerms } from './terms.ts';

const everything = [parseTopicFilter('#')];

export const grantOf = (over: Partial<Grant['grants']> = {}, subject = 'ann'): Grant =>
  createGrant(
    { subject, namespace: defaultNamespace, expiresAt: 8.64e15, tokenDigest: '0123456789abcdef' },
    { publish: everything, subscribe: everything, presence: [], manage: [], ...over },
  );

/** What a test leaves out of a CONNECT. */
export const connectOf = (over: Partial<Connect> = {}): Connect => ({
  ...{ type: 'connect', version: 5, cleanStart: true, keepAlive: 0, clientId: 'c', will: undefined },
  ...{ userName: undefined, password: undefined, properties: {} },
  ...over,
});

export const publishOf = (topic: string, text: string, over: Partial<Publish> = {}): Publish =>
  ({
    ...{ type: 'publish', dup: false, qos: 0, retain: false, topic, packetId: undefined },
    ...{ payload: Buffer.from(text), properties: {} },
    ...over,
  }) as Publish;

/** @param filters with their QoS: `a/#:1` */
export const subscribeOf = (
  packetId: number,
  filters: readonly string[],
  over: Partial<Subscribe['subscriptions'][0]> = {},
  properties: Subscribe['properties'] = {},
): Subscribe => ({
  type: 'subscribe',
  packetId,
  subscriptions: filters.map((text) => {
    const [name = '', qos = '0'] = text.split(':');
    const { share, filter } = splitShare(name) as FilterName;
    const options = { noLocal: false, retainAsPublished: false, retainHandling: 0 as const };
    return { share, filter, qos: Number(qos) as Qos, ...options, ...over };
  }),
  properties,
});

export const ack = (
  type: 'puback' | 'pubrec' | 'pubrel' | 'pubcomp',
  packetId: number,
  reason: 0 | 0x80 = 0,
): ClientPacket => ({ type, packetId, reason, properties: {} });

const server: ServerTerms = {
  ...{ packetBytes: 65_536, receiveMaximum: 4, topicAliases: 2, inflight: 4 },
  ...{ keepAlive: 100, expiryMost: 1_000 },
};

/** What a client received of one type. */
export type Of<T extends Received['type']> = Received & { readonly type: T };

/** The way to one client, and the client's end of it. */
export class TestWire implements SessionWire {
  readonly version: Version;
  readonly received: Received[] = [];
  /** Nothing fits any more once so many bytes were written; the test makes room. */
  full = false;
  held = false;
  ended = false;
  readonly #decoder = new Decoder({ packetBytes: 1_048_576, filters: 100, userProperties: 100 });

  constructor(version: Version) {
    this.version = version;
  }

  write(bytes: Buffer): boolean {
    if (this.ended) throw new Error('written behind the end');
    this.received.push(...readFromServer(bytes, this.version));
    return !this.full;
  }

  end(bytes: Buffer): void {
    if (bytes.length > 0) this.write(bytes);
    this.ended = true;
  }

  destroy(): void {
    this.ended = true;
  }

  hold(): void {
    if (this.held) throw new Error('held twice');
    this.held = true;
  }

  release(): void {
    if (!this.held) throw new Error('released twice');
    this.held = false;
  }

  /** Through the codec, as a client's bytes come. */
  read(packet: ClientPacket): ClientPacket {
    this.#decoder.push(encodeFromClient(packet, this.version));
    return this.#decoder.next() as ClientPacket;
  }

  of<T extends Received['type']>(type: T): Of<T>[] {
    return this.received.filter((one): one is Of<T> => one.type === type);
  }

  /** The publications that came, as `topic=text`, and what is of note: `1!` is QoS 1 with DUP, `r` retained. */
  get texts(): string[] {
    return this.of('publish').map(textOf);
  }
}

const textOf = ({ topic, payload, qos, dup, retain }: Publish): string =>
  `${topic ?? ''}=${payload.toString()}${qos > 0 ? ` ${qos}` : ''}${dup ? '!' : ''}${retain ? ' r' : ''}`;

/** One connection of a client. */
export interface Client extends TestWire {
  readonly session: Session;
  send(...packets: ClientPacket[]): void;
}

export interface StageOptions {
  readonly server?: Partial<ServerTerms>;
  readonly hub?: Partial<HubOptions>;
  readonly outbox?: { readonly count: number; readonly bytes: number };
  readonly filters?: number;
  readonly sharedSubscriptions?: number;
  readonly serverReference?: string;
  /** What the log answers in the place of storing; undefined stores. */
  readonly refuse?: (submitted: Submitted) => PushfleetError | undefined;
  /** Several stages on one log, in one time, are several pods of one fleet; each has a name. */
  readonly fleet?: {
    readonly clock: SimulatedClock;
    readonly log: MemoryBackbone['log'];
    readonly name: string;
  };
  /** Has a publication stored, or not. */
  readonly storing?: (store: () => Promise<Stored>) => Promise<Stored>;
}

/** An engine on a log in memory whose time the test moves. */
export class Stage {
  readonly clock: SimulatedClock;
  readonly backbone: MemoryBackbone;
  readonly hubs: Hubs;
  readonly ends: CloseCode[] = [];
  readonly errors: unknown[] = [];
  /** What clients published, wills included. */
  readonly published: { readonly grant: Grant; readonly submitted: Submitted }[] = [];
  /** How connections that were present somewhere ended. */
  readonly partings: Parting[] = [];
  /** Wills that were due. */
  readonly wills: OwedWill[] = [];
  readonly server: ServerTerms;
  readonly groups: SharedGroups;
  store: SessionStore;
  readonly #o: StageOptions;
  readonly #shared: SessionShared;
  #made = 0;
  readonly #turns = new Map<string, Promise<unknown>>();
  /** While set, nothing that clients publish is answered. */
  stalled: Promise<void> | undefined;

  constructor(o: StageOptions = {}) {
    this.#o = o;
    this.server = { ...server, ...o.server };
    this.clock = o.fleet?.clock ?? new SimulatedClock();
    this.backbone = createMemoryBackbone({ clock: this.clock, ...(o.fleet && { log: o.fleet.log }) });
    this.hubs = createHubs(this.backbone, { clock: this.clock, ...o.hub });
    const after = (ms: number, run: () => void) => this.clock.after(ms, run);
    const now = (): number => this.clock.now();
    const outbox = o.outbox ?? { count: 100, bytes: 1_000_000 };
    this.groups = new SharedGroups({
      ...{ bus: (namespace) => this.backbone.bus(namespace), most: o.sharedSubscriptions ?? 100, now, after },
      log: { warn: (fields: object) => this.errors.push(fields) },
    });
    this.store = new MemoryStore({
      ...{ sessions: 1_000, given: 1_000 },
      after,
      publishWill: (owed) => this.wills.push(owed),
      groups: {
        bus: (namespace) => this.backbone.bus(namespace),
        onError: (error) => this.errors.push(error),
      },
    });
    this.#shared = {
      wheel: { after },
      ...{ now, groups: this.groups },
      ...{ server: this.server, filters: o.filters ?? 100, serverReference: o.serverReference },
      quotas: { subscribe: () => {}, unsubscribe: () => {} },
      publishing: { publish: (grant, submitted) => this.#publish(grant, submitted) },
      ...{ runs: new Runs(), packetIds: new PacketIds(), deliveries: { writing: () => undefined } },
      ...{ outbox, written: { deliveries: 0, bytes: 0 } },
      presence: { leaveAll: (_, how) => this.partings.push(how) },
      nameOf: (grant) => grant.tokenDigest,
      onEnd: (code) => this.ends.push(code),
      onError: (error) => this.errors.push(error),
    };
  }

  /** Lets everything that is under way happen. */
  async settle(ms = 10): Promise<void> {
    for (let i = 0; i < 6; i++) {
      await this.clock.advance(Math.ceil(ms / 5)); // the log has whole milliseconds
      await turn();
    }
  }

  /** A client whose CONNECT is answered. */
  async connect(over: Partial<Connect> = {}, grant = grantOf(), auth?: SessionAuth): Promise<Client> {
    const client = await this.arrive(over, grant, auth);
    await this.settle();
    return client;
  }

  /** The same, as soon as it is. */
  async arrive(over: Partial<Connect> = {}, grant = grantOf(), auth?: SessionAuth): Promise<Client> {
    const connect = connectOf(over);
    const terms = agree(connect, this.server);
    const wire = new TestWire(connect.version);
    const { will, clientId, cleanStart } = connect;
    let session: Session | undefined;
    let taken = false;
    const held = await this.store.take({
      key: { namespace: grant.namespace, subject: grant.subject, clientId },
      ...{ cleanStart, expiry: terms.expiry },
      onLost: (how) => {
        taken = true;
        session?.lost(how);
      },
      will: will && { will, grant, origin: clientId },
    });
    if (taken) throw new PushfleetError('conflict', 'Another connection took the session over meanwhile.');
    session = this.#session(connect, { wire, session: held, grant, auth });
    wire.read(connect);
    session.begin(connect);
    const running = session;
    const send = (...packets: ClientPacket[]) => {
      for (const packet of packets) running.packet(wire.read(packet));
    };
    return Object.assign(wire, { session, send });
  }

  #session(
    connect: Connect,
    given: { wire: TestWire; session: HeldSession } & Pick<SessionOptions, 'grant' | 'auth'>,
  ): Session {
    return new Session(this.#shared, {
      ...{ ...given, will: connect.will, clientId: connect.clientId, connection: 'x' },
      topics: readPresent(connect, 10).topics,
      hub: this.hubs.of(defaultNamespace),
      terms: agree(connect, this.server),
      origin: connect.clientId,
      agedAt: Number.POSITIVE_INFINITY,
    });
  }

  /** Stores a publication of another protocol. */
  async publish(topic: string, text: string, more: Partial<Draft> = {}): Promise<Stored> {
    const draft: Draft = {
      ...{ id: text, source: 'test', topic: parseTopic(topic), contentType: 'text/plain' },
      payload: Buffer.from(text),
      ...more,
    };
    const [stored] = await this.backbone.bus(defaultNamespace).publish([draft]);
    if (stored === undefined || stored instanceof PushfleetError) throw stored;
    return stored;
  }

  async #publish(
    grant: Grant,
    all: readonly (Submitted | PushfleetError)[],
  ): Promise<(Stored | PushfleetError)[]> {
    return Promise.all(
      all.map(async (submitted) => {
        if (submitted instanceof PushfleetError) return submitted;
        this.published.push({ grant, submitted });
        const { topic } = submitted.submission;
        // As the log: one after the other on a topic.
        const turn = Promise.all([this.#turns.get(topic), this.stalled]);
        const { refuse, storing = (store) => store() } = this.#o;
        const stored = turn.then(
          async () => refuse?.(submitted) ?? (await storing(() => this.#store(submitted))),
        );
        this.#turns.set(topic, stored);
        return stored;
      }),
    );
  }

  async #store({ submission }: Submitted): Promise<Stored> {
    const { topic, payload, id, contentType, attributes, retain, origin, ttlMs, source, type } = submission;
    return this.publish(topic, id ?? `p${this.#o.fleet?.name ?? ''}${this.#made++}`, {
      ...{ payload, contentType: contentType ?? 'application/octet-stream' },
      ...(attributes !== undefined && { attributes }),
      ...(source !== undefined && { source }),
      ...(type !== undefined && { type }),
      ...(retain === true && { retain }),
      ...(origin !== undefined && { origin }),
      ...(ttlMs !== undefined && { expiresAt: this.clock.now() + ttlMs }),
    });
  }
}
