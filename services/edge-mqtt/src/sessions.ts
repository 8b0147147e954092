import { hash } from 'node:crypto';
import { type Backbone, PushfleetError, parseTopic } from '@pushfleet/core';
import {
  type CloseCode,
  type Connections,
  type Presence,
  Runs,
  type SessionDesk,
  type Written,
} from '@pushfleet/edge';
import type { Hubs } from '@pushfleet/hub';
import { type Intake, Publishing, requirePublish } from '@pushfleet/intake';
import {
  connectionId,
  type Deliveries,
  type Grant,
  type Log,
  type Metrics,
  type Quotas,
  type RegistryClient,
  type TimerWheel,
  type TokenCheck,
  type Traces,
} from '@pushfleet/runtime';
import { type Guest, Postponed, Unwelcome } from './arrival.ts';
import type { Exchange, Turn } from './auth/exchange.ts';
import { Methods } from './auth/methods.ts';
import type { SessionAuth } from './auth/renewal.ts';
import { ClientIds } from './client-id.ts';
import { type Connect, reasons } from './codec.ts';
import type { EdgeConfig } from './config.ts';
import type { Caller } from './doors/caller.ts';
import type { Link } from './doors/link.ts';
import { Identity } from './identity.ts';
import { type Present, readPresent } from './presence.ts';
import { submissionOf } from './publication/message.ts';
import { makeStore } from './session/make-store.ts';
import { PacketIds } from './session/packet-ids.ts';
import { Session } from './session/session.ts';
import type { SessionShared } from './session/session-options.ts';
import { SharedGroups } from './session/shared-groups.ts';
import type { Claim, HeldSession, OwedWill, SessionKey, SessionStore } from './session/store.ts';
import { agree, eventMode, eventModeOf, type ServerTerms, type Terms } from './session/terms.ts';

export interface SessionsOptions {
  readonly config: EdgeConfig;
  readonly hubs: Hubs;
  readonly quotas: Pick<Quotas, 'open' | 'subscribe' | 'unsubscribe'>;
  readonly tokens: TokenCheck;
  readonly registry: Pick<RegistryClient, 'revocations'>;
  /** Undefined: there is no registry, and sessions end with this process. */
  readonly desk?: SessionDesk | undefined;
  readonly backbone: Pick<Backbone, 'bus'> & {
    /** How long the log keeps publications; undefined before it was reached. */
    readonly terms?: { readonly maxAgeMs: number } | undefined;
  };
  readonly intake: Pick<Intake, 'publish'>;
  readonly presence: Pick<Presence, 'enter' | 'leaveAll'>;
  /** The hubs' observer. */
  readonly deliveries: Deliveries;
  readonly traces: Pick<Traces, 'request'>;
  readonly log: Log;
  readonly metrics: Metrics;
}

export interface SessionsFooting {
  readonly wheel: TimerWheel;
  readonly connections: Connections<Session>;
  readonly written: Written;
}

/** All connections of this process whose CONNECT was accepted, and the sessions that outlive them. */
export class Sessions {
  readonly #o: SessionsOptions;
  readonly #connections: Connections<Session>;
  readonly #server: ServerTerms;
  readonly #publishing: Publishing;
  readonly #methods: Methods;
  readonly #shared: SessionShared;
  readonly #store: SessionStore;
  readonly #identity: Identity;
  readonly #clientIds: ClientIds;
  readonly #groups: SharedGroups;
  /** What became of sessions that were asked for. */
  readonly #taken = { new: 0, resumed: 0, lost: 0 };
  /** Wills on their way into the log. */
  readonly #wills = new Set<Promise<unknown>>();

  constructor(options: SessionsOptions, { wheel, connections, written }: SessionsFooting) {
    const { config, quotas, intake, presence, deliveries, traces, log, metrics } = options;
    this.#o = options;
    this.#connections = connections;
    const { revocations } = options.registry;
    this.#identity = new Identity({ tokens: options.tokens, revocations, now: Date.now });
    this.#clientIds = new ClientIds(config);
    const methods = new Methods(options);
    methods.onOutdated = () => connections.endRevoked({ revoked: (grant) => methods.outdated(grant) });
    this.#methods = methods;
    this.#server = {
      packetBytes: config.packetBytes,
      receiveMaximum: config.receiveMaximum,
      topicAliases: config.topicAliases,
      inflight: config.inflight,
      keepAlive: Math.floor(config.keepAliveMs / 1_000),
      get expiryMost() {
        // A session that lives longer than the log keeps what came for it would be resumed with a gap.
        const keptMs = options.backbone.terms?.maxAgeMs ?? Number.POSITIVE_INFINITY;
        return Math.floor(Math.min(config.sessionExpiryMs, keptMs) / 1_000);
      },
    };
    this.#publishing = new Publishing({
      ...{ api: 'mqtt', intake, traces, metrics, pendingBytes: config.pendingBytes },
    });
    const outbox = { count: config.outboxCount, bytes: config.outboxBytes };
    this.#groups = new SharedGroups({
      bus: (namespace) => options.backbone.bus(namespace),
      after: (ms, run) => wheel.after(ms, run),
      ...{ most: config.sharedSubscriptions, now: Date.now, log },
    });
    const store = makeStore({
      ...{ desk: options.desk, backbone: options.backbone, wheel, log },
      ...{ sessions: config.sessions, given: config.given },
      publishWill: (owed) => this.#publishWill(owed),
    });
    this.#store = store;
    const ended = metrics.counter('pushfleet_edge_connections_ended', {
      description:
        'Connections that this edge ended, by close code; those that their clients left are not counted.',
    });
    this.#shared = {
      ...{ quotas, deliveries, presence, wheel, written },
      ...{ server: this.#server, publishing: this.#publishing },
      runs: new Runs(),
      packetIds: new PacketIds(),
      ...{ outbox, groups: this.#groups },
      filters: config.filters,
      serverReference: config.serverReference,
      now: Date.now,
      nameOf: connectionId,
      onEnd: (code: CloseCode) => ended.add(1, { code }),
      onError: (error) => log.error({ err: error }, 'a connection failed'),
    };
    metrics.gauge(
      'pushfleet_edge_connections',
      { description: 'Connections whose client is known.' },
      () => this.#connections.size,
    );
    metrics.total(
      'pushfleet_mqtt_sessions_taken',
      {
        description:
          'Sessions that connections got: new; resumed; or lost, with their subscriptions and without what was under way.',
      },
      () => Object.entries(this.#taken).map(([outcome, count]) => [count, { outcome }] as const),
    );
    metrics.gauge(
      'pushfleet_mqtt_sessions',
      { description: 'Sessions that this process has, those of connected clients included.' },
      () => store.size,
    );
  }

  start(): void {
    this.#methods.start();
  }

  close(): void {
    this.#methods.close();
  }

  /**
   * Makes a session of the link, which has yet to begin; undefined: the connection is gone by now.
   *
   * @throws PushfleetError or Unwelcome where it is not accepted
   */
  async open(link: Link, connect: Connect, guest: Guest): Promise<Session | undefined> {
    this.#check(connect);
    const present = readPresent(connect, this.#o.config.presenceTopics);
    const known = await this.#identify(link, connect, guest);
    const { grant } = known;
    if (guest.isGone()) return undefined;
    const clientId = this.#clientIds.of(connect.clientId, grant.subject);
    const will = this.#willOf(connect, grant, clientId);
    for (const topic of present.topics) grant.require('presence', topic);
    const release = this.#connections.room(grant, 0);
    try {
      const session = await this.#take({ link, connect, clientId, known, will, present, guest });
      if (session === undefined) release();
      else this.#keep(link, session, release);
      return session;
    } catch (error) {
      release();
      throw error;
    }
  }

  /**
   * After the last connection: the sessions are given back to the registry, or end with this process. Their wills are in
   * the log when this resolves.
   */
  async drain(): Promise<void> {
    await this.#store.drain();
    this.#groups.close();
    await Promise.all(this.#wills);
  }

  /** @throws Unwelcome */
  #check(connect: Connect): void {
    this.#clientIds.check(connect.clientId);
    const mode = eventModeOf(connect);
    if (mode === undefined || mode === eventMode.value) return;
    throw new Unwelcome(
      reasons.implementationSpecificError,
      'CloudEvents are given in binary mode: the user property "cloudevents" is "binary".',
    );
  }

  /** By the authentication method that the client names, else by what it shows. */
  async #identify(link: Link, connect: Connect, guest: Guest): Promise<Known> {
    const { caller } = link;
    if (connect.properties.authenticationMethod === undefined) {
      return { grant: await this.#identity.of(connect, caller) };
    }
    this.#identity.requireUsable(caller);
    const known = await this.#exchange(link, connect, guest);
    this.#identity.requireSame(known.grant, caller);
    return known;
  }

  /** Section 4.12. */
  async #exchange(link: Link, { properties }: Connect, guest: Guest): Promise<Known> {
    const { authenticationMethod: method = '', authenticationData } = properties;
    const begin = () => this.#methods.begin(method, link.caller.address ?? '');
    const exchange = begin();
    if (exchange === undefined) {
      throw new Unwelcome(
        reasons.badAuthenticationMethod,
        'There is no such authentication method here. [MQTT-4.12.0-1]',
      );
    }
    let turn: Turn = await exchange.next(authenticationData);
    while (turn.kind === 'continue') turn = await exchange.next(await guest.ask(turn.data));
    const { grant, data } = turn;
    return { grant, auth: { method, data, begin: () => begin() as Exchange } };
  }

  /** @throws PushfleetError where the client may not publish it, or it says that it is an event and is none */
  #willOf({ will }: Connect, grant: Grant, clientId: string): OwedWill | undefined {
    if (will === undefined) return undefined;
    requirePublish(grant, parseTopic(will.topic));
    // The payload is a view of the chunk that it came in, and is kept for as long as the connection lives.
    const payload = Buffer.from(will.payload);
    const origin = originOf(keyOf(grant, clientId));
    const submission = submissionOf(will, origin);
    if (submission instanceof PushfleetError) throw submission;
    return { will: { ...will, payload }, grant, origin };
  }

  async #take(o: Taking): Promise<Session | undefined> {
    const { connect, clientId, known, will, present, guest } = o;
    const { grant } = known;
    const terms = agree(connect, this.#server);
    const key = keyOf(grant, clientId);
    let session: Session | undefined;
    let taken = false;
    const held = await this.#claim({
      ...{ key, will, cleanStart: connect.cleanStart, expiry: terms.expiry },
      onLost: (how) => {
        taken = true;
        session?.lost(how);
      },
    });
    const leave = (withoutWill: boolean) =>
      held.leave({ expiry: terms.expiry, withoutWill, cursor: undefined });
    const connection = connectionId(grant);
    const { presence } = this.#o;
    try {
      const { topics, entry } = present;
      const by = { id: clientId, connection };
      await Promise.all(topics.map((topic) => presence.enter(grant, topic, by, entry)));
      if (taken) throw new PushfleetError('conflict', 'Another connection took the session over meanwhile.');
      this.#requireStanding(grant);
      if (!guest.isGone()) {
        session = this.#make(o, { terms, held, connection, origin: originOf(key) });
        return session;
      }
    } catch (error) {
      presence.leaveAll(connection, taken ? 'lost' : 'left');
      // Who took it over has it.
      if (!taken) await leave(true);
      throw error;
    }
    presence.leaveAll(connection, 'lost');
    await leave(false);
    return undefined;
  }

  /** @throws PushfleetError, Postponed */
  async #claim(claim: Claim): Promise<HeldSession> {
    try {
      const held = await this.#store.take(claim);
      const { kept } = held;
      this.#taken[kept === undefined ? 'new' : kept.lost ? 'lost' : 'resumed']++;
      return held;
    } catch (thrown) {
      const error = PushfleetError.from(thrown);
      if (error.code === 'unavailable' || error.code === 'timeout') throw new Postponed(error);
      throw error;
    }
  }

  /** Those that are kept are asked when something is revoked; this one was not among them yet. @throws PushfleetError */
  #requireStanding(grant: Grant): void {
    if (!this.#revoked(grant)) return;
    throw new PushfleetError('token_revoked', 'What was shown was revoked meanwhile.');
  }

  #revoked(grant: Grant): boolean {
    return this.#o.registry.revocations.revoked(grant) || this.#methods.outdated(grant);
  }

  #make({ link, clientId, known, will, present }: Taking, { held: session, ...taken }: Taken): Session {
    const { grant, auth } = known;
    return new Session(this.#shared, {
      ...{ wire: link, grant, auth, will: will?.will, clientId, session, topics: present.topics, ...taken },
      hub: this.#o.hubs.of(grant.namespace),
      agedAt: this.#connections.deadline({ expiresAt: Number.POSITIVE_INFINITY }).at,
    });
  }

  #keep(link: Link, session: Session, release: () => void): void {
    const forget = this.#connections.keep(session);
    const { connection } = session;
    this.#o.log.debug({ connection, ...placeOf(link.caller) }, 'a client is connected');
    link.onClosed = () => {
      release();
      forget();
    };
  }

  /** A token that has expired since is as good as it was when the will was accepted; one that was revoked is not. */
  #publishWill({ will, grant, origin }: OwedWill): void {
    if (this.#revoked(grant)) return;
    const published = this.#publishing.publish(grant, [submissionOf(will, origin)]);
    this.#wills.add(published);
    void published.finally(() => this.#wills.delete(published));
  }
}

const placeOf = ({ transport, address }: Caller) => ({ transport, address });

/** Who the client is, and how it was found out. */
interface Known {
  readonly grant: Grant;
  readonly auth?: SessionAuth;
}

interface Taking {
  readonly link: Link;
  readonly connect: Connect;
  /** Perhaps by assignment. */
  readonly clientId: string;
  readonly known: Known;
  readonly will: OwedWill | undefined;
  readonly present: Present;
  readonly guest: Guest;
}

interface Taken {
  readonly terms: Terms;
  readonly held: HeldSession;
  readonly connection: string;
  readonly origin: string;
}

const keyOf = ({ namespace, subject }: Grant, clientId: string): SessionKey => ({
  namespace,
  subject,
  clientId,
});

/** Names a client in what it publishes, and says nothing about it. */
const originOf = ({ namespace, subject, clientId }: SessionKey): string =>
  hash('sha256', JSON.stringify([namespace, subject, clientId]), 'base64url').slice(0, 16);
