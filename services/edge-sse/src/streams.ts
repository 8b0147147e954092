import type { Socket } from 'node:net';
import { PushfleetError } from '@pushfleet/core';
import type { Hubs } from '@pushfleet/hub';
import {
  connectionId,
  type Deliveries,
  declareHubMetrics,
  type Grant,
  type Log,
  type Metrics,
  type Quotas,
  type Requests,
  type RevocationList,
  TimerWheel,
} from '@pushfleet/runtime';
import { jitter } from './close-code.ts';
import type { EdgeConfig } from './config.ts';
import type { Ask } from './request.ts';
import { Runs } from './runs.ts';
import { type Deadline, Session, type Shared } from './session.ts';
import type { Visit } from './visit.ts';

export interface StreamsOptions {
  readonly config: EdgeConfig;
  readonly hubs: Hubs;
  readonly quotas: Pick<Quotas, 'open'>;
  /** The hubs' observer. */
  readonly deliveries: Deliveries;
  readonly log: Log;
  readonly metrics: Metrics;
}

const subjectOf = ({ namespace, subject }: Grant): string => `${namespace} ${subject}`;

/** All streams of this process: opens them, bounds their number, and ends them on drain and revocation. */
export class Streams {
  readonly #o: StreamsOptions;
  readonly #requests: Requests;
  readonly #wheel = new TimerWheel();
  readonly #shared: Shared;
  readonly #sessions = new Set<Session>();
  readonly #perSubject = new Map<string, number>();
  #emptied: () => void = () => {};

  constructor(options: StreamsOptions, requests: Requests) {
    const { config, deliveries, log, metrics } = options;
    const ended = metrics.counter('pushfleet_edge_streams_ended', {
      description:
        'Streams that this edge ended, by close code; those that their clients left are not counted.',
    });
    this.#o = options;
    this.#requests = requests;
    this.#shared = {
      deliveries,
      runs: new Runs(),
      wheel: this.#wheel,
      outbox: { count: config.outboxCount, bytes: config.outboxBytes },
      now: Date.now,
      written: { deliveries: 0, bytes: 0 },
      onEnd: (code) => ended.add(1, { code }),
      onError: (error) => log.error({ err: error }, 'a stream failed'),
    };
    this.#declareMetrics(metrics);
    declareHubMetrics(metrics, options.hubs);
  }

  #declareMetrics(metrics: Metrics): void {
    const { written } = this.#shared;
    metrics.gauge('pushfleet_edge_streams', { description: 'Streams open.' }, () => this.size);
    metrics.total(
      'pushfleet_edge_deliveries',
      { description: 'Publications written to streams; a publication counts once for each.' },
      () => written.deliveries,
    );
    metrics.total(
      'pushfleet_edge_written_bytes',
      { description: 'Bytes of deliveries written.' },
      () => written.bytes,
    );
  }

  get size(): number {
    return this.#sessions.size;
  }

  /** @throws PushfleetError `too_many_connections` with `more` others about to open */
  requireRoom(more: number): void {
    const { connections } = this.#o.config;
    if (this.size + more <= connections) return;
    throw new PushfleetError('too_many_connections', `This instance holds its most, ${connections} streams.`);
  }

  /**
   * Answers the visit with a stream.
   *
   * @throws PushfleetError `too_many_connections` where the subject has its share, `quota_connections` or
   *   `quota_subscriptions` where its namespace has, or as the hub does; nothing is written then
   */
  open(visit: Visit, ask: Ask, grant: Grant): void {
    this.#requireShare(subjectOf(grant));
    const release = this.#o.quotas.open(grant.namespace, ask.filters.length);
    try {
      const session = this.#session(visit, ask, grant);
      this.#keep(session, visit.socket, release);
      this.#begin(session, visit, ask);
    } catch (error) {
      release();
      throw error;
    }
  }

  #session(visit: Visit, ask: Ask, grant: Grant): Session {
    const { socket, framing } = visit;
    const hub = this.#o.hubs.of(grant.namespace);
    const deadline = this.#deadline(grant);
    const connection = connectionId(grant);
    visit.answerHeaders['pushfleet-connection'] = connection;
    return new Session(this.#shared, {
      wire: socket,
      head: visit.streamHead(),
      format: ask.format,
      ...{ framing, hub, grant, connection, deadline },
    });
  }

  #begin(session: Session, visit: Visit, ask: Ask): void {
    session.begin(ask).then(
      () => this.#requests.ended(visit.since),
      (error) => {
        this.#requests.ended(visit.since, error);
        visit.refuse(error);
      },
    );
  }

  #requireShare(subject: string): void {
    const { connectionsPerSubject } = this.#o.config;
    if ((this.#perSubject.get(subject) ?? 0) < connectionsPerSubject) return;
    throw new PushfleetError(
      'too_many_connections',
      `The subject of this token holds its most, ${connectionsPerSubject} streams. Close one, or share one between pages.`,
    );
  }

  #keep(session: Session, socket: Socket, release: () => void): void {
    this.#sessions.add(session);
    const { connection, grant } = session;
    const { namespace, subject: sub } = grant;
    const subject = subjectOf(grant);
    this.#o.log.debug({ connection, namespace, sub }, 'a stream opened');
    this.#perSubject.set(subject, (this.#perSubject.get(subject) ?? 0) + 1);
    socket.on('drain', () => session.drained());
    socket.on('end', () => socket.destroy());
    socket.on('close', () => {
      session.gone();
      this.#o.log.debug({ connection }, 'a stream closed');
      release();
      this.#forget(session, subject);
    });
  }

  #forget(session: Session, subject: string): void {
    this.#sessions.delete(session);
    const left = (this.#perSubject.get(subject) as number) - 1;
    if (left > 0) this.#perSubject.set(subject, left);
    else this.#perSubject.delete(subject);
    if (this.size === 0) this.#emptied();
  }

  #deadline(grant: Grant): Deadline {
    const { connectionAgeMs } = this.#o.config;
    const aged = Date.now() + jitter([connectionAgeMs * 0.9, connectionAgeMs * 1.1]);
    return connectionAgeMs > 0 && aged < grant.expiresAt
      ? { at: aged, code: 'connection_age' }
      : { at: grant.expiresAt, code: 'token_expired' };
  }

  /** Ends the streams of revoked tokens. */
  endRevoked(revocations: Pick<RevocationList, 'revoked'>): void {
    for (const session of this.#sessions) {
      if (!revocations.revoked(session.grant)) continue;
      this.#o.log.info({ connection: session.connection }, 'a stream is ended: its token was revoked');
      session.end('token_revoked');
    }
  }

  /** Ends every stream at a moment of its own within `windowMs`; resolves when all have gone. */
  async drain(windowMs: number, deadline: AbortSignal): Promise<void> {
    for (const session of this.#sessions) {
      this.#wheel.after(jitter([0, windowMs]), () => session.end('draining'));
    }
    if (this.size === 0 || deadline.aborted) return;
    await new Promise<void>((resolve) => {
      this.#emptied = resolve;
      deadline.addEventListener('abort', () => resolve(), { once: true });
    });
  }

  /** Cuts what is left. */
  close(): void {
    for (const session of this.#sessions) session.cut();
    this.#wheel.close();
  }
}
