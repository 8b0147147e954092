import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Ledger } from '@pushfleet/bus';
import { PushfleetError } from '@pushfleet/core';
import { type CloseCode, type Connection, type Connections, closeDetail, jitter } from '@pushfleet/edge';
import type { Hubs } from '@pushfleet/hub';
import {
  connectionId,
  type Fleet,
  type Grant,
  type Log,
  type Quotas,
  type RevocationList,
} from '@pushfleet/runtime';
import { type Handover, Handovers, placeOf, resumedAt } from './handover.ts';
import { type Poll, refusal } from './poll.ts';
import type { Members } from './presence.ts';
import { Reads, requireShape } from './reads.ts';
import { decodeRecord, encodeRecord, ended, keyOf, type SessionRecord } from './record.ts';
import { UnknownClient, usualAdvice } from './reply.ts';
import { Session, type SessionShared } from './session.ts';
import { recordOf, Writer } from './writer.ts';

export interface SessionsOptions {
  readonly shared: Omit<SessionShared, 'onProgress' | 'onOver'>;
  readonly hubs: Pick<Hubs, 'of'>;
  readonly ledger: Pick<Ledger, 'get' | 'put'>;
  readonly fleet: Pick<Fleet, 'instance' | 'ask' | 'answer'>;
  readonly connections: Connections<Connection>;
  readonly quotas: Pick<Quotas, 'subscribe' | 'unsubscribe'>;
  readonly revocations: Pick<RevocationList, 'revoked'>;
  readonly presence: Members;
  readonly log: Log;
}

/** How often a session is tried to be taken over while others do the same. */
const tries = 8;

/** The sessions that this instance has, and the way to those of others. */
export class Sessions {
  readonly #o: SessionsOptions;
  readonly #shared: SessionShared;
  readonly #here = new Map<string, Session>();
  readonly #writer: Writer;
  readonly #reads: Reads;
  readonly #handovers: Handovers;
  /** Takeovers under way. */
  readonly #taking = new Map<string, Promise<Session>>();
  /** How many filters of each are counted in its namespace's quota. */
  readonly #counted = new WeakMap<Session, number>();
  /** Last words that are being written. */
  readonly #parting = new Set<Promise<void>>();

  constructor(options: SessionsOptions) {
    this.#o = options;
    this.#shared = {
      ...options.shared,
      onProgress: (session) => this.#writer.later(session),
      onOver: (session, why) => this.#over(session, why),
    };
    this.#reads = new Reads(options.ledger);
    const { timeoutMs, idleMs } = options.shared.limits;
    this.#writer = new Writer({
      ...{ ledger: options.ledger, wheel: options.shared.wheel, instance: options.fleet.instance },
      lifeMs: 2 * (timeoutMs + idleMs),
      onLost: (session) => this.#lose(session),
    });
    this.#handovers = new Handovers({
      ...{ fleet: options.fleet, log: options.log },
      giveUp: (key) => this.#giveUp(key),
      onTaken: (key, revision) => this.#taken(key, revision),
    });
  }

  get size(): number {
    return this.#here.size;
  }

  /** Connects that wait for their answers. */
  get waiting(): number {
    return [...this.#here.values()].filter(({ waits }) => waits).length;
  }

  /** Writes to the ledger so far. */
  get writes(): number {
    return this.#writer.writes;
  }

  /**
   * A new session; its record is stored.
   *
   * @throws PushfleetError `too_many_connections`, `quota_connections`, `draining` or `unavailable`
   */
  async create(
    grant: Grant,
    ack: boolean,
  ): Promise<{ readonly clientId: string; readonly session: Session }> {
    // "SHOULD be created with a strong random algorithm that contains at least 128 truly random bits."
    const clientId = randomBytes(20).toString('hex');
    const record = { grant, connection: connectionId(grant), ack, batch: 0 };
    const session = this.#open(keyOf(clientId), record);
    this.#writer.take(session, 0);
    try {
      await this.#writer.store(session);
    } catch (error) {
      this.#abandon(session);
      throw error;
    }
    return { clientId, session };
  }

  /**
   * The session of a client: the one here, or taken over from where it was.
   *
   * @param poll the connect that asks for it
   * @throws PushfleetError `UnknownClient`, `token_revoked`, as `create`, or as `Feed.add`
   */
  async find(clientId: string, poll?: Poll): Promise<Session> {
    requireShape(clientId);
    const key = keyOf(clientId);
    const here = this.#here.get(key);
    if (here !== undefined) return here;
    const under = this.#taking.get(key);
    if (under !== undefined) return under;
    const taking = this.#take(key, poll).finally(() => this.#taking.delete(key));
    this.#taking.set(key, taking);
    return taking;
  }

  /**
   * Does something with a session, and again where another instance took it over meanwhile: behind a balancer a
   * subscribe and a connect of one client may be at two instances at the same time.
   *
   * @throws PushfleetError as `find` and `work` do; `unavailable` where it does not come to rest
   */
  async use<T>(find: () => Promise<Session>, work: (session: Session) => Promise<T>): Promise<T> {
    for (let round = 1; ; round++) {
      let session: Session | undefined;
      try {
        session = await find();
        return await work(session);
      } catch (thrown) {
        const moved = session?.ended === true || PushfleetError.from(thrown).code === 'conflict';
        if (!moved) throw thrown;
        if (round === tries) throw restless();
        await sleep(jitter([0, 25 * round]));
      }
    }
  }

  /**
   * What a client may do, wherever its session is.
   *
   * @param read what one request has read so far; it reads nothing twice
   * @throws PushfleetError `UnknownClient` or `unavailable`
   */
  async grantOf(clientId: string, read: Map<string, Promise<Grant>>): Promise<Grant> {
    requireShape(clientId);
    const key = keyOf(clientId);
    const here = this.#here.get(key);
    if (here !== undefined) return here.grant;
    const grant = read.get(key) ?? this.#record(key).then(({ record }) => record.grant);
    read.set(key, grant);
    return grant;
  }

  async #record(key: string): Promise<{ record: SessionRecord; revision: number }> {
    const found = await this.#reads.get(key);
    const record = decodeRecord(found.value);
    if (record === undefined) throw new UnknownClient();
    if (this.#o.revocations.revoked(record.grant)) {
      throw new PushfleetError('token_revoked', closeDetail('token_revoked'));
    }
    return { record, revision: found.revision };
  }

  /** Makes what a session is subscribed to known to all. @throws PushfleetError `unavailable` */
  store(session: Session): Promise<void> {
    return this.#writer.store(session);
  }

  /** Something of it has changed that may wait to be stored. */
  later(session: Session): void {
    this.#writer.later(session);
  }

  /** A connect; it also keeps the record alive. */
  connect(session: Session, poll: Poll): void {
    if (session.ended) throw new PushfleetError('conflict', 'The session has just moved.');
    session.connect(poll);
    if (this.#writer.isOld(session)) this.#writer.later(session);
  }

  /** The client says goodbye: nothing is left of the session. */
  async end(session: Session): Promise<void> {
    const { limits } = this.#shared;
    this.#drop(session).leave({ advice: { ...usualAdvice(limits), reconnect: 'none' } }, true);
    this.#o.presence.leaveAll(session, 'left');
    await this.#writer.end(session, ended);
  }

  /** Resolves when everything that was given up has been written. */
  async drain(): Promise<void> {
    await Promise.all(this.#parting);
  }

  #open(key: string, record: Pick<SessionRecord, 'grant' | 'connection' | 'ack' | 'batch'>): Session {
    const { connections, hubs } = this.#o;
    connections.requireRoom(1);
    const giveBack = connections.room(record.grant, 0);
    let session: Session;
    try {
      session = new Session(this.#shared, hubs.of(record.grant.namespace), { key, record });
    } catch (error) {
      giveBack();
      throw error;
    }
    this.#here.set(key, session);
    const forget = connections.keep(session);
    session.release = () => {
      this.count(session);
      giveBack();
      forget();
    };
    return session;
  }

  /** Quotas count filters. @throws PushfleetError `quota_subscriptions` */
  count(session: Session): void {
    const { quotas } = this.#o;
    const { namespace } = session.grant;
    const before = this.#counted.get(session) ?? 0;
    const now = session.ended ? 0 : session.subscriptions.size;
    if (now > before) quotas.subscribe(namespace, now - before);
    else quotas.unsubscribe(namespace, before - now);
    this.#counted.set(session, now);
  }

  async #take(key: string, poll: Poll | undefined): Promise<Session> {
    let handover: Handover | undefined;
    let asked: string | undefined;
    for (let round = 1; ; round++) {
      const { record, revision } = await this.#record(key);
      // What another one has done with it since counts more than what the one before it said.
      if (record.by !== asked) handover = await this.#handovers.askFor(key, record);
      asked = record.by;
      const resumed = resumedAt(record, handover, poll);
      const session = this.#open(key, resumed);
      this.#writer.take(session, revision);
      try {
        for (const one of record.presences) session.presences.set(`${one.client ?? ''} ${one.topic}`, one);
        // What it is subscribed to stands in the record that is written.
        const resuming = session.resume(resumed.subscriptions, resumed.cursor);
        this.count(session);
        await Promise.all([resuming, this.#writer.store(session, resumed)]);
        this.#handovers.tell(key, this.#writer.revision(session));
        this.#o.presence.comeBack(session);
        this.#o.log.debug({ connection: session.connection, from: record.by }, 'a session was taken over');
        return session;
      } catch (thrown) {
        this.#abandon(session);
        const error = PushfleetError.from(thrown);
        if (error.code !== 'conflict') throw error;
        if (round === tries) throw restless();
      }
    }
  }

  async #giveUp(key: string): Promise<void> {
    const session = this.#here.get(key);
    if (session === undefined) return;
    await this.#writer.settled(session);
    this.#lose(session);
  }

  /** Another instance has a session: what is here of it at an earlier revision is over. */
  #taken(key: string, revision: number): void {
    const session = this.#here.get(key);
    if (session !== undefined && this.#writer.revision(session) < revision) this.#lose(session);
  }

  #drop(session: Session): Session {
    if (this.#here.get(session.key) === session) this.#here.delete(session.key);
    return session;
  }

  /** Lets go of a session without a last word: its record is not this instance's to write. */
  #abandon(session: Session): Handover {
    this.#writer.forget(session);
    return this.#drop(session).leave();
  }

  /** Another instance goes on with it. */
  #lose(session: Session): void {
    if (session.ended) return;
    this.#o.presence.leaveAll(session, 'lost');
    this.#handovers.keep(session.key, this.#abandon(session));
  }

  #over(session: Session, why: CloseCode | undefined): void {
    if (session.ended) return;
    const parting = this.#part(session, why).catch((error: unknown) => {
      this.#o.log.warn({ err: error }, 'the last word on a session could not be written');
    });
    this.#parting.add(parting);
    void parting.finally(() => this.#parting.delete(parting));
  }

  async #part(session: Session, why: CloseCode | undefined): Promise<void> {
    const { presence, shared } = this.#o;
    this.#drop(session);
    if (why === 'token_revoked') {
      session.leave(refusal(new PushfleetError(why, closeDetail(why))));
      presence.leaveAll(session, 'left');
      await this.#writer.end(session, ended);
      return;
    }
    const interval = why === 'draining' ? jitter([0, 1_000]) : 1_000;
    const handover = session.leave({ advice: { ...usualAdvice(shared.limits), interval } });
    presence.leaveAll(session, 'lost');
    this.#handovers.keep(session.key, handover);
    await this.#writer.end(session, encodeRecord({ ...recordOf(session), by: '', ...placeOf(handover) }));
  }
}

const restless = (): PushfleetError =>
  new PushfleetError('unavailable', 'The session goes from instance to instance; send it again.');
