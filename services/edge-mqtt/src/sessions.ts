import { hash, randomBytes } from 'node:crypto';
import { parseTopic } from '@pushfleet/core';
import { type CloseCode, type Connections, Runs, type Written } from '@pushfleet/edge';
import type { Hubs } from '@pushfleet/hub';
import { type Intake, Publishing, requirePublish } from '@pushfleet/intake';
import {
  connectionId,
  type Deliveries,
  type Grant,
  type Log,
  type Metrics,
  type Quotas,
  type TimerWheel,
  type TokenCheck,
  type Traces,
} from '@pushfleet/runtime';
import { Unwelcome } from './arrival.ts';
import { type Connect, reasons } from './codec.ts';
import type { EdgeConfig } from './config.ts';
import type { Link } from './link.ts';
import { MemoryStore } from './memory-store.ts';
import { submissionOf } from './message.ts';
import { PacketIds } from './packet-ids.ts';
import { Session, type SessionShared } from './session.ts';
import { SharedGroups } from './shared-groups.ts';
import type { HeldSession, OwedWill, SessionKey } from './store.ts';
import { agree, type ServerTerms, type Terms } from './terms.ts';

export interface SessionsOptions {
  readonly config: EdgeConfig;
  readonly hubs: Hubs;
  readonly quotas: Pick<Quotas, 'open' | 'subscribe' | 'unsubscribe'>;
  readonly tokens: TokenCheck;
  readonly intake: Pick<Intake, 'publish'>;
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
  readonly #shared: SessionShared;
  readonly #store: MemoryStore;
  readonly #groups: SharedGroups;
  /** Wills on their way into the log. */
  readonly #wills = new Set<Promise<unknown>>();

  constructor(options: SessionsOptions, { wheel, connections, written }: SessionsFooting) {
    const { config, quotas, intake, deliveries, traces, log, metrics } = options;
    this.#o = options;
    this.#connections = connections;
    this.#server = {
      packetBytes: config.packetBytes,
      receiveMaximum: config.receiveMaximum,
      topicAliases: config.topicAliases,
      inflight: config.inflight,
      keepAlive: Math.floor(config.keepAliveMs / 1_000),
      clientIdBytes: config.clientIdBytes,
      expiryMost: Math.floor(config.sessionExpiryMs / 1_000),
    };
    this.#publishing = new Publishing({
      ...{ api: 'mqtt', intake, traces, metrics, pendingBytes: config.pendingBytes },
    });
    const outbox = { count: config.outboxCount, bytes: config.outboxBytes };
    this.#groups = new SharedGroups({
      hub: (namespace) => options.hubs.of(namespace),
      ...{ outbox, most: config.sharedSubscriptions, now: Date.now },
    });
    const store = new MemoryStore({
      expiryMost: this.#server.expiryMost,
      sessions: config.sessions,
      after: (ms, run) => wheel.after(ms, run),
      publishWill: (owed) => this.#publishWill(owed),
      onEnded: ({ namespace }, had) => this.#groups.ended(namespace, had),
    });
    this.#store = store;
    const ended = metrics.counter('pushfleet_edge_connections_ended', {
      description:
        'Connections that this edge ended, by close code; those that their clients left are not counted.',
    });
    this.#shared = {
      ...{ quotas, deliveries, wheel, written, server: this.#server, publishing: this.#publishing },
      runs: new Runs(),
      packetIds: new PacketIds(),
      ...{ outbox, groups: this.#groups },
      filters: config.filters,
      serverReference: config.serverReference,
      now: Date.now,
      onEnd: (code: CloseCode) => ended.add(1, { code }),
      onError: (error) => log.error({ err: error }, 'a connection failed'),
    };
    metrics.gauge(
      'pushfleet_edge_connections',
      { description: 'Connections whose client is known.' },
      () => this.#connections.size,
    );
    metrics.gauge(
      'pushfleet_mqtt_sessions',
      { description: 'Sessions that are kept, those of connected clients included.' },
      () => store.size,
    );
  }

  /**
   * Makes a session of the link, which has yet to begin; undefined: the connection is gone by now.
   *
   * @throws PushfleetError or Unwelcome where it is not accepted
   */
  async open(link: Link, connect: Connect, isGone: () => boolean): Promise<Session | undefined> {
    this.#check(connect);
    const grant = await this.#identify(connect);
    if (isGone()) return undefined;
    const will = this.#willOf(connect, grant);
    const release = this.#connections.room(grant, 0);
    try {
      const session = await this.#take({ link, connect, grant, will, isGone });
      if (session === undefined) release();
      else this.#keep(link, session, release);
      return session;
    } catch (error) {
      release();
      throw error;
    }
  }

  /** After the last connection: sessions end with this process, and their wills are in the log when this resolves. */
  async drain(): Promise<void> {
    this.#store.end();
    this.#groups.close();
    await Promise.all(this.#wills);
  }

  /** @throws Unwelcome */
  #check({ clientId, properties }: Connect): void {
    if (properties.authenticationMethod !== undefined) {
      throw new Unwelcome(reasons.badAuthenticationMethod, 'There is no such authentication method here.');
    }
    const { clientIdBytes } = this.#server;
    if (Buffer.byteLength(clientId) > clientIdBytes) {
      throw new Unwelcome(
        reasons.clientIdNotValid,
        `A client identifier has at most ${clientIdBytes} bytes here.`,
      );
    }
  }

  /** The token is the password; the user name is the client's own business. */
  async #identify({ password }: Connect): Promise<Grant> {
    if (password === undefined) {
      throw new Unwelcome(reasons.notAuthorized, 'No token came. Send one as the password.');
    }
    return this.#o.tokens.check(password.toString('latin1'));
  }

  /** @throws PushfleetError where the client may not publish it */
  #willOf({ will, clientId }: Connect, grant: Grant): OwedWill | undefined {
    if (will === undefined) return undefined;
    requirePublish(grant, parseTopic(will.topic));
    // The payload is a view of the chunk that it came in, and is kept for as long as the connection lives.
    const payload = Buffer.from(will.payload);
    return { will: { ...will, payload }, grant, origin: originOf(keyOf(grant, clientId)) };
  }

  async #take(o: Taking): Promise<Session | undefined> {
    const { connect, grant, will, isGone } = o;
    const terms = agree(connect, this.#server);
    const clientId = connect.clientId === '' ? `auto-${randomBytes(12).toString('hex')}` : connect.clientId;
    const key = keyOf(grant, clientId);
    let session: Session | undefined;
    let taken = false;
    const held = await this.#store.take({
      ...{ key, will, cleanStart: connect.cleanStart, expiry: terms.expiry },
      onTaken: () => {
        taken = true;
        session?.taken();
      },
    });
    if (isGone()) {
      await held.leave({ expiry: terms.expiry, withoutWill: false, cursor: undefined });
      return undefined;
    }
    session = this.#make(o, { terms, clientId, held, origin: originOf(key) });
    if (taken) session.taken();
    return session;
  }

  #make({ link, grant }: Taking, { terms, clientId, held, origin }: Taken): Session {
    try {
      return new Session(this.#shared, {
        ...{ wire: link, grant, clientId, terms, origin, session: held },
        hub: this.#o.hubs.of(grant.namespace),
        connection: connectionId(grant),
        agedAt: this.#connections.deadline({ expiresAt: Number.POSITIVE_INFINITY }).at,
      });
    } catch (error) {
      void held.leave({ expiry: terms.expiry, withoutWill: true, cursor: undefined });
      throw error;
    }
  }

  #keep(link: Link, session: Session, release: () => void): void {
    const forget = this.#connections.keep(session);
    link.onClosed = () => {
      release();
      forget();
    };
  }

  #publishWill({ will, grant, origin }: OwedWill): void {
    const published = this.#publishing.publish(grant, [submissionOf(will, origin)]);
    this.#wills.add(published);
    void published.finally(() => this.#wills.delete(published));
  }
}

interface Taking {
  readonly link: Link;
  readonly connect: Connect;
  readonly grant: Grant;
  readonly will: OwedWill | undefined;
  readonly isGone: () => boolean;
}

interface Taken {
  readonly terms: Terms;
  readonly clientId: string;
  readonly held: HeldSession;
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
