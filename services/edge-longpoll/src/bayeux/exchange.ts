import { PushfleetError } from '@pushfleet/core';
import { closeDetail } from '@pushfleet/edge';
import type { Grant, TokenCheck } from '@pushfleet/runtime';
import { type Caller, requireSame } from './caller.ts';
import { kindOf } from './channel.ts';
import { ackOf, idOf, type Message, textField, timeoutOf, tokenOf } from './message.ts';
import { checkVersion, connectionTypes, requireConnectionType, version } from './negotiation.ts';
import type { Answer, Poll } from './poll.ts';
import type { Members } from './presence.ts';
import { Publishes, type PublishesOptions } from './publish.ts';
import { adviceAfter, no, type Reply, UnknownClient, usualAdvice, yes } from './reply.ts';
import type { Session, SessionLimits } from './session.ts';
import type { Sessions } from './sessions.ts';
import { subscribe, unsubscribe } from './subscribe.ts';

/** What is sent back: JSON texts of messages. */
export interface Exchanged {
  readonly now: readonly string[];
  /** The answer to a connect, with what came meanwhile. */
  readonly later?: Promise<readonly string[]>;
}

export interface ExchangeOptions extends Omit<PublishesOptions, 'sessions'> {
  readonly sessions: Sessions;
  readonly tokens: TokenCheck;
  readonly presence: Pick<Members, 'ask'>;
  readonly limits: SessionLimits;
  isDraining(): boolean;
  /** A message was refused. */
  onRefused(thrown: unknown): void;
}

/** Answers messages, whichever transport they came by: Bayeux 1.0, "Meta Message Field Definitions". */
export class Exchange {
  readonly #o: ExchangeOptions;

  constructor(options: ExchangeOptions) {
    this.#o = options;
  }

  /** Never rejects: what goes wrong is the answer to the message that it went wrong with. */
  async answer(messages: readonly Message[], caller: Caller): Promise<Exchanged> {
    // "A server MUST ignore any other message sent in the same request as a handshake message."
    const handshake = messages.find(({ channel }) => channel === '/meta/handshake');
    if (handshake !== undefined) return { now: [JSON.stringify(await this.#handshake(handshake, caller))] };
    if (new Set(messages.flatMap(({ clientId }) => clientId ?? [])).size > 1) {
      const advice = adviceAfter(ofOneClient(), 'retry');
      const replies = messages.map((message) => ({
        ...this.#refuse(message, ofOneClient()),
        ...(message.channel === '/meta/connect' && { advice }),
      }));
      return { now: replies.map((reply) => JSON.stringify(reply)) };
    }
    const connect = messages.find(({ channel }) => channel === '/meta/connect');
    const publishes = this.#publishes();
    const replies: Reply[] = [];
    for (const group of grouped(messages.filter((message) => message !== connect))) {
      replies.push(...(await this.#group(group, caller, publishes)));
    }
    const now = replies.map((reply) => JSON.stringify(reply));
    if (connect === undefined) return { now };
    const later = this.#connect(connect, caller, messages.length === 1);
    return caller.separate || messages.length === 1 ? { now, later } : { now: [...now, ...(await later)] };
  }

  /** For one request. */
  #publishes(): Publishes {
    const { sessions } = this.#o;
    const read = new Map<string, Promise<Grant>>();
    return new Publishes({
      ...this.#o,
      sessions: { grantOf: (clientId) => sessions.grantOf(clientId, read) },
    });
  }

  #group(group: readonly Message[], caller: Caller, publishes: Publishes): Promise<readonly Reply[]> {
    const [first] = group as [Message];
    switch (first.channel) {
      case '/meta/subscribe':
        return this.#subscriptions(group, caller, (session, message) => subscribe(session, message, this.#o));
      case '/meta/unsubscribe':
        return this.#subscriptions(group, caller, (session, message) =>
          unsubscribe(session, message, this.#o),
        );
      case '/meta/disconnect':
        return this.#each(group, (message) => this.#disconnect(message, caller));
      default:
        break;
    }
    const kind = kindOf(first.channel);
    if (kind === 'plain')
      return publishes.answer(group, caller, (message, thrown) => this.#refuse(message, thrown));
    if (kind === 'service') return this.#each(group, (message) => this.#service(message, caller));
    return this.#each(group, (message) => {
      throw new PushfleetError('not_found', `There is no ${message.channel}, or not twice in one request.`);
    });
  }

  async #each(
    group: readonly Message[],
    on: (message: Message) => Promise<readonly Reply[]>,
  ): Promise<readonly Reply[]> {
    const replies: Reply[] = [];
    for (const message of group) {
      try {
        replies.push(...(await on(message)));
      } catch (thrown) {
        replies.push(this.#refuse(message, thrown));
      }
    }
    return replies;
  }

  #refuse(message: Message, thrown: unknown, args: readonly string[] = [message.channel]): Reply {
    const error = PushfleetError.from(thrown);
    this.#o.onRefused(thrown);
    const about = error instanceof UnknownClient ? [String(message.clientId)] : args;
    const lost = ['unauthenticated', 'token_expired', 'token_revoked'].includes(error.code);
    const advised = error instanceof UnknownClient || lost || error.code === 'draining';
    const advice = advised ? adviceAfter(error, 'retry') : undefined;
    const { subscription } = message;
    return no(message, error, {
      args: about,
      advice,
      ...(message.channel.startsWith('/meta/') && subscription !== undefined && { subscription }),
    });
  }

  async #handshake(message: Message, caller: Caller): Promise<Reply> {
    try {
      checkVersion(message);
      if (this.#o.isDraining()) throw new PushfleetError('draining', closeDetail('draining'));
      const token = tokenOf(message);
      const grant = token === undefined ? caller.visitor : await this.#o.tokens.check(token);
      if (grant === undefined) throw caller.stranger;
      const acks = ackOf(message) === true;
      const { clientId, session } = await this.#o.sessions.create(grant, acks);
      caller.onSession(session);
      const { connection, subject, expiresAt: expires } = { ...session, ...grant };
      return yes(message, {
        ...{ version, minimumVersion: version, supportedConnectionTypes: connectionTypes, clientId },
        advice: usualAdvice(this.#o.limits),
        ext: { ...(acks && { ack: true }), pushfleet: { connection, subject, expires } },
      });
    } catch (thrown) {
      this.#o.onRefused(thrown);
      const error = PushfleetError.from(thrown);
      const advice = adviceAfter(error, 'handshake');
      return no(message, error, { advice, version, supportedConnectionTypes: connectionTypes });
    }
  }

  async #connect(message: Message, caller: Caller, alone: boolean): Promise<readonly string[]> {
    const { promise, resolve } = Promise.withResolvers<readonly string[]>();
    const { clientId } = message;
    const timeout = alone || caller.separate ? timeoutOf(message) : 0;
    const ack = ackOf(message);
    const poll: Poll = {
      ...{ id: idOf(message), way: caller.way, receipt: caller.receipt, timeout, alone },
      ack: typeof ack === 'number' ? ack : undefined,
      answer: (answer) => resolve(this.#answered(message, answer)),
    };
    try {
      requireConnectionType(message);
      const { sessions } = this.#o;
      const find = (): Promise<Session> => this.#session(message, caller, poll);
      await sessions.use(find, async (session) => {
        if (caller.gone) return;
        caller.onSession(session);
        sessions.connect(session, poll);
      });
      if (caller.gone) return [];
    } catch (thrown) {
      this.#o.onRefused(thrown);
      const error = PushfleetError.from(thrown);
      const args = clientId === undefined ? [] : [String(clientId)];
      return [JSON.stringify(no(message, error, { args, advice: adviceAfter(error, 'retry') }))];
    }
    return promise;
  }

  #answered(message: Message, { events, error, advice, ack }: Answer): readonly string[] {
    if (error !== undefined) this.#o.onRefused(error);
    const { clientId } = message;
    const reply =
      error === undefined
        ? yes(message, { clientId, ...(advice && { advice }), ...(ack !== undefined && { ext: { ack } }) })
        : no(message, error, { advice });
    return [...events, JSON.stringify(reply)];
  }

  /**
   * The session that a message is of, if its client may still use it.
   *
   * @throws PushfleetError `unauthenticated` without a client id, `forbidden` where the request is another subject's,
   *   `token_expired`, `draining` where it is not here, or as `Sessions.find`
   */
  async #session(message: Message, caller: Caller, poll?: Poll): Promise<Session> {
    const session = await this.#found(message, poll);
    this.#renewBy(session, caller.visitor);
    if (session.expired) throw new PushfleetError('token_expired', closeDetail('token_expired'));
    return session;
  }

  async #found(message: Message, poll?: Poll): Promise<Session> {
    const clientId = textField(message, 'clientId');
    if (clientId === undefined) {
      throw new PushfleetError('unauthenticated', 'The message has no clientId; shake hands first.');
    }
    // A session that is not here would come and go: another instance serves it better.
    if (this.#o.isDraining()) throw new PushfleetError('draining', closeDetail('draining'));
    return this.#o.sessions.find(clientId, poll);
  }

  /** A request may bring a newer token than its session has; one that allows less is left aside. */
  #renewBy(session: Session, visitor: Grant | undefined): void {
    if (visitor === undefined || visitor.tokenDigest === session.grant.tokenDigest) return;
    requireSame(session.grant, visitor);
    if (visitor.expiresAt <= session.grant.expiresAt) return;
    try {
      session.renew(visitor);
      this.#o.sessions.later(session);
    } catch {
      // It does not cover what the session is subscribed to.
    }
  }

  async #subscriptions(
    group: readonly Message[],
    caller: Caller,
    on: (session: Session, message: Message) => Promise<void>,
  ): Promise<readonly Reply[]> {
    const { sessions } = this.#o;
    const replies = new Map<Message, Reply>();
    const refuse = (message: Message, thrown: unknown): void => {
      replies.set(message, this.#refuse(message, thrown, textsOf(message.subscription)));
    };
    for (const own of Map.groupBy(group, ({ clientId }) => clientId).values()) {
      const find = (): Promise<Session> => this.#session(own[0] as Message, caller);
      try {
        await sessions.use(find, async (session) => {
          for (const message of own) {
            const { clientId, subscription } = message;
            try {
              await on(session, message);
              replies.set(message, yes(message, { clientId, subscription }));
            } catch (thrown) {
              if (session.ended) throw thrown;
              refuse(message, thrown);
            }
          }
          // One write for all of them; no answer says yes before it.
          await sessions.store(session);
        });
      } catch (thrown) {
        for (const message of own) refuse(message, thrown);
      }
    }
    return group.map((message) => replies.get(message) as Reply);
  }

  async #disconnect(message: Message, caller: Caller): Promise<readonly Reply[]> {
    const session = await this.#found(message);
    if (caller.visitor !== undefined) requireSame(session.grant, caller.visitor);
    await this.#o.sessions.end(session);
    return [yes(message, { clientId: message.clientId })];
  }

  /** "Handlers of service channels MAY deliver response messages to the client that published the request." */
  async #service(message: Message, caller: Caller): Promise<readonly Reply[]> {
    const { channel } = message;
    const data = await this.#served(channel, message, caller);
    const id = idOf(message);
    return [yes(message), { channel, data: JSON.parse(data), ...(id !== undefined && { id }) }];
  }

  /** The data of the answer, as JSON. */
  async #served(channel: string, message: Message, caller: Caller): Promise<string> {
    const { sessions } = this.#o;
    if (channel === '/service/token') {
      const { token } = (message.data ?? {}) as { readonly token?: unknown };
      if (typeof token !== 'string') {
        throw new PushfleetError('request_invalid', 'The data of /service/token is {"token": "…"}.');
      }
      const grant = await this.#o.tokens.check(token);
      const renew = async (session: Session): Promise<void> => {
        session.renew(grant);
        await sessions.store(session);
      };
      await sessions.use(() => this.#found(message), renew);
      return JSON.stringify({ expires: grant.expiresAt });
    }
    if (channel === '/service/presence') {
      const ask = (session: Session): Promise<string> => this.#o.presence.ask(session, message);
      return sessions.use(() => this.#session(message, caller), ask);
    }
    throw new PushfleetError('not_found', 'The service channels are /service/token and /service/presence.');
  }
}

const ofOneClient = (): PushfleetError =>
  new PushfleetError(
    'request_invalid',
    'The messages of a request are of one client; send a request for each.',
  );

/** Runs of messages that are answered together. */
function grouped(messages: readonly Message[]): readonly (readonly Message[])[] {
  const groups: Message[][] = [];
  const like = ({ channel }: Message): string => (kindOf(channel) === 'plain' ? '' : channel);
  for (const message of messages) {
    const last = groups.at(-1);
    if (last?.[0] !== undefined && like(last[0]) === like(message)) last.push(message);
    else groups.push([message]);
  }
  return groups;
}

const textsOf = (value: unknown): readonly string[] =>
  [value].flat().filter((one) => typeof one === 'string');
