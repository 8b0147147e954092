import { PushfleetError, parseTopic } from '@pushfleet/core';
import {
  type CloseCode,
  type Connection,
  type Encode,
  entryOf,
  jitter,
  Outflow,
  type OutflowShared,
  type Presence,
  type Range,
  retryMs,
  type Wire,
} from '@pushfleet/edge';
import { type Fault, pingFrame, textFrame } from '@pushfleet/edge/websocket';
import type { CloseReason, Hub } from '@pushfleet/hub';
import type { Publishing } from '@pushfleet/intake';
import type { Grant, Quotas, TimerWheel, TokenCheck } from '@pushfleet/runtime';
import {
  type ClientMessage,
  type PresenceMessage,
  type Publish,
  readBinary,
  readText,
  Unreadable,
} from './client-message.ts';
import type { RequestId } from './codec.ts';
import * as codec from './codec.ts';
import { farewell } from './farewell.ts';
import type { Peer } from './link.ts';
import { Subscriptions } from './subscriptions.ts';

/** What the sessions of one edge share. */
export interface SessionShared extends OutflowShared {
  readonly wheel: Pick<TimerWheel, 'after'>;
  /** Unix time in milliseconds. */
  readonly now: () => number;
  readonly limits: codec.Welcome['limits'];
  readonly quotas: Pick<Quotas, 'subscribe' | 'unsubscribe'>;
  readonly tokens: TokenCheck;
  readonly publishing: Pick<Publishing, 'publish'>;
  readonly presence: Pick<Presence, 'enter' | 'update' | 'leave' | 'list' | 'leaveAll'>;
  onEnd(code: CloseCode): void;
  onError(error: unknown): void;
}

/** The way to the client; a link is one. */
export interface SessionWire extends Wire {
  /** Takes no more requests until the wire takes bytes again. */
  holdReading(): void;
}

export interface SessionOptions {
  readonly wire: SessionWire;
  readonly encode: Encode;
  readonly hub: Pick<Hub, 'open'>;
  readonly grant: Grant;
  readonly connection: string;
  /** When it is asked to come back for its age, Unix time in milliseconds; Infinity: never. */
  readonly agedAt: number;
  /** Names the connection of another token. */
  nameOf(grant: Grant): string;
}

// Intermediaries cut idle connections after 30 s and more; spread, so that no second carries all pings.
const beat: Range = [15_000, 25_000];
/** Beats without a byte from the client, after which it is taken for gone. */
const missedBeats = 2;
// How long requests that are under way may hold up an end that can wait.
const finishMs = 5_000;

/**
 * One identified connection: what its client asks for, what it is sent, and when it ends. It owns its feed and its
 * timer, and no socket.
 *
 * open → finishing → ended: while it finishes, what was asked for is answered and nothing more is taken.
 */
export class Session implements Connection, Peer {
  grant: Grant;
  connection: string;
  readonly #shared: SessionShared;
  readonly #o: SessionOptions;
  readonly #outflow: Outflow;
  readonly #subscriptions: Subscriptions;
  /** Requests under way. */
  #waiting = 0;
  #missed = 0;
  #cancelTimer: () => void = () => {};
  #finishing: CloseCode | undefined;
  #ended = false;

  /** @throws PushfleetError `draining` or `too_many_connections` where the hub takes no more feeds */
  constructor(shared: SessionShared, o: SessionOptions) {
    this.grant = o.grant;
    this.connection = o.connection;
    this.#shared = shared;
    this.#o = o;
    this.#outflow = new Outflow(shared, {
      ...{ hub: o.hub, wire: o.wire, encode: o.encode },
      onClose: (reason) => this.#closed(reason),
    });
    this.#subscriptions = new Subscriptions(this.#outflow, {
      most: shared.limits.filters,
      namespace: o.grant.namespace,
      quotas: shared.quotas,
    });
  }

  /** Says welcome. */
  begin(): void {
    const { grant, connection } = this;
    this.#tell(
      codec.welcome({
        connection,
        subject: grant.subject,
        expires: grant.expiresAt,
        limits: this.#shared.limits,
        ping: beat[1],
      }),
    );
    this.#arm();
  }

  message(data: Buffer, binary: boolean): void {
    if (this.#ended) return;
    const message = binary ? readBinary(data) : readText(data);
    if (message instanceof Unreadable) this.#tell(codec.error(message.id, message.error));
    else this.#act(message);
  }

  heard(): void {
    this.#missed = 0;
  }

  /** The wire takes bytes again: somebody reads them. */
  drained(): void {
    this.#missed = 0;
    this.#outflow.drained();
  }

  fault({ wsCode, message }: Fault): void {
    const code = wsCode === 1009 ? 'payload_too_large' : 'request_invalid';
    this.#finish(code, wsCode, message);
  }

  gone(wsCode: number | undefined): void {
    // 1001 is what a browser sends for a page that is closed or left (RFC 6455 section 7.4.1).
    this.#leave(wsCode === 1000 || wsCode === 1001 ? 'left' : 'lost');
  }

  /** Tells the client why, as far as it can be told, and ends. What is still held back, a resume gives. */
  end(code: CloseCode): void {
    if (this.#ended || this.#finishing !== undefined) return;
    const patient = code === 'draining' || code === 'connection_age';
    if (!patient || this.#waiting === 0) {
      this.#finish(code);
      return;
    }
    this.#finishing = code;
    this.#cancelTimer();
    this.#cancelTimer = this.#shared.wheel.after(finishMs, () => this.#finish(code));
  }

  cut(): void {
    this.#leave('lost');
    this.#o.wire.destroy();
  }

  #act(message: ClientMessage): void {
    switch (message.type) {
      case 'ping':
        this.#tell(codec.pong(message.id));
        break;
      case 'unsubscribe':
        this.#request(message.id, async () => {
          this.#subscriptions.remove(message.filters);
          return codec.unsubscribed(message.id);
        });
        break;
      case 'subscribe':
        this.#request(message.id, async () =>
          codec.subscribed(message.id, await this.#subscriptions.add(this.grant, message)),
        );
        break;
      case 'publish':
        this.#request(message.id, () => this.#publish(message));
        break;
      case 'presence':
        this.#request(message.id, () => this.#presence(message));
        break;
      case 'auth':
        this.#request(message.id, () => this.#renew(message.id, message.token));
        break;
    }
  }

  /** Answers a request with what `work` resolves to, or with its error. */
  #request(id: RequestId | undefined, work: () => Promise<string>): void {
    const refusal = this.#refusal();
    if (refusal !== undefined) {
      this.#tell(codec.error(id, refusal));
      return;
    }
    this.#waiting++;
    void work()
      .catch((thrown: unknown) => {
        const error = PushfleetError.from(thrown);
        if (error.code === 'internal') this.#shared.onError(error.cause ?? error);
        return codec.error(id, error);
      })
      .then((answer) => this.#answered(answer));
  }

  #refusal(): PushfleetError | undefined {
    if (this.#finishing !== undefined) {
      return new PushfleetError('draining', 'This connection is about to end; ask again on the next one.');
    }
    const { requests } = this.#shared.limits;
    if (this.#waiting < requests) return undefined;
    return new PushfleetError(
      'rate_limited',
      `This connection has ${requests} requests that are not answered yet; wait for an answer before the next.`,
      { detail: { limit: requests } },
    );
  }

  #answered(answer: string): void {
    this.#waiting--;
    this.#tell(answer);
    if (this.#finishing !== undefined && this.#waiting === 0) this.#finish(this.#finishing);
  }

  async #publish(message: Publish): Promise<string> {
    const [answer] = await this.#shared.publishing.publish(this.grant, [message]);
    if (answer === undefined || answer instanceof PushfleetError) throw answer;
    return codec.published(message.id, answer);
  }

  async #presence({ id, topic: name, request }: PresenceMessage): Promise<string> {
    const { action, client = this.#o.connection, entry, page } = request;
    const { presence } = this.#shared;
    const { grant } = this;
    const topic = parseTopic(name);
    if (action === 'list') return codec.presence(id, topic, await presence.list(grant, topic, page));
    // The name that it was opened with: renewing the token changes the other.
    const by = { id: client, connection: this.#o.connection };
    if (action === 'leave') {
      await presence.leave(grant, topic, by);
      return codec.presence(id, topic, { members: [] });
    }
    const member = await presence[action](grant, topic, by, entryOf(entry));
    return codec.presence(id, topic, { members: [member] });
  }

  /** Puts another token of the same subject in force. */
  async #renew(id: RequestId | undefined, token: string): Promise<string> {
    const grant = await this.#shared.tokens.check(token);
    const { subject, namespace } = this.grant;
    if (grant.subject !== subject || grant.namespace !== namespace) {
      throw new PushfleetError(
        'forbidden',
        'The token is of another subject or namespace than the one that this connection was opened with. Open another connection for it.',
      );
    }
    this.#subscriptions.require(grant);
    this.grant = grant;
    this.connection = this.#o.nameOf(grant);
    if (!this.#ended && this.#finishing === undefined) this.#arm();
    return codec.renewed(id, { expires: grant.expiresAt, connection: this.connection });
  }

  #tell(text: string): void {
    if (this.#ended) return;
    this.#outflow.say(textFrame(text));
    if (!this.#outflow.writable) this.#o.wire.holdReading();
  }

  #closed(reason: CloseReason): void {
    if (reason.kind !== 'failed') {
      this.end(reason.kind);
      return;
    }
    const { error } = reason;
    if (error.code === 'internal') this.#shared.onError(error.cause ?? error);
    this.end(error.code);
  }

  #finish(code: CloseCode, closeCode?: number, detail?: string): void {
    if (this.#ended) return;
    const { wire } = this.#o;
    const { writable } = this.#outflow;
    this.#leave(retryMs(code) === undefined ? 'left' : 'lost');
    this.#shared.onEnd(code);
    // A full wire would deliver the news after everything that it is late with.
    if (code === 'slow_consumer' && !writable) wire.destroy();
    else wire.end(farewell(code, detail, { closeCode }));
  }

  /** Lets go of everything. */
  #leave(how: 'left' | 'lost'): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#outflow.close();
    this.#cancelTimer();
    this.#subscriptions.close();
    this.#shared.presence.leaveAll(this.#o.connection, how);
  }

  #arm(): void {
    const { wheel, now } = this.#shared;
    this.#cancelTimer();
    this.#cancelTimer = wheel.after(Math.min(this.#endsAt - now(), jitter(beat)), this.#onTimer);
  }

  get #endsAt(): number {
    return Math.min(this.#o.agedAt, this.grant.expiresAt);
  }

  // One timer for ping and deadline.
  readonly #onTimer = (): void => {
    if (this.#shared.now() >= this.#endsAt) {
      this.end(this.#o.agedAt < this.grant.expiresAt ? 'connection_age' : 'token_expired');
    } else if (this.#missed++ >= missedBeats) {
      this.#shared.onEnd('timeout');
      this.cut();
    } else {
      if (this.#outflow.writable) this.#beat();
      this.#arm();
    }
  };

  #beat(): void {
    const moved = this.#outflow.moved();
    this.#outflow.say(
      moved === undefined ? pingFrame : Buffer.concat([textFrame(codec.place(moved)), pingFrame]),
    );
  }
}
