import { type Attributes, PushfleetError, parseTopic, type Topic } from '@pushfleet/core';
import {
  type CloseCode,
  type Connection,
  closeDetail,
  type Parting,
  type Presence,
  retryMs,
  type Wire,
} from '@pushfleet/edge';
import type { CloseReason, Feed, Hub } from '@pushfleet/hub';
import { type Publishing, requirePublish } from '@pushfleet/intake';
import type { Grant, Quotas, TimerWheel } from '@pushfleet/runtime';
import { Renewal, type SessionAuth } from '../auth/renewal.ts';
import { disconnectReason, toldOf, type Why } from '../close-code.ts';
import {
  type Ack,
  type ClientPacket,
  type Connect,
  type Disconnect,
  encode,
  type Reason,
  reasons,
  type ServerPacket,
  type Suback,
  type Subscribe,
  type Unsubscribe,
  type Violation,
  type Will,
} from '../codec.ts';
import type { Peer } from '../doors/link.ts';
import { Inbound } from './inbound.ts';
import { Outbound, type OutboundOwner, type OutboundShared } from './outbound.ts';
import type { SharedMember, Work } from './shared-group.ts';
import type { SharedGroups } from './shared-groups.ts';
import type { HeldSession } from './store.ts';
import { cursorProperty, type Outcome, Subscriptions } from './subscriptions.ts';
import { type ServerTerms, type Terms, told } from './terms.ts';

/** What the sessions of one edge share. */
export interface SessionShared extends OutboundShared {
  readonly wheel: Pick<TimerWheel, 'after'>;
  /** Unix time in milliseconds. */
  readonly now: () => number;
  readonly server: ServerTerms;
  /** Filters of one session. */
  readonly filters: number;
  /** Where clients go on a drain (section 4.11); undefined: they are not told. */
  readonly serverReference: string | undefined;
  readonly quotas: Pick<Quotas, 'subscribe' | 'unsubscribe'>;
  readonly groups: Pick<SharedGroups, 'of' | 'join' | 'leave' | 'giveBack'>;
  readonly publishing: Pick<Publishing, 'publish'>;
  readonly presence: Pick<Presence, 'leaveAll'>;
  /** Names the connection of a token. */
  nameOf(grant: Grant): string;
  onEnd(code: CloseCode): void;
  onError(error: unknown): void;
}

/** The way to the client; a link is one. */
export interface SessionWire extends Wire {
  /** Takes no more packets, and goes on; each once in turn. */
  hold(): void;
  release(): void;
}

export interface SessionOptions {
  readonly wire: SessionWire;
  readonly hub: Pick<Hub, 'open'>;
  readonly grant: Grant;
  /** Undefined: not by an authentication method. */
  readonly auth: SessionAuth | undefined;
  readonly connection: string;
  readonly clientId: string;
  readonly will: Pick<Will, 'topic' | 'properties'> | undefined;
  /** It is present on them. */
  readonly topics: readonly Topic[];
  readonly terms: Terms;
  readonly session: HeldSession;
  /** Names the client for "no local". */
  readonly origin: string;
  /** When it is asked to come back for its age, Unix time in milliseconds; Infinity: never. */
  readonly agedAt: number;
}

/** Why nothing is read at this moment. */
const holds = { subscribing: 1, publishing: 2, answers: 4, finishing: 8 } as const;
// How long publications that are under way may hold up an end that can wait.
const finishMs = 5_000;
const takenOver = 'Another connection of this client took the session over.';
const nothing: Buffer = Buffer.alloc(0);

/**
 * One connection whose CONNECT was accepted: packets in, packets out, and no socket. What has to outlive it lies in the
 * session that it holds (`store.ts`).
 *
 * open → finishing → ended: while it finishes, what is under way is acknowledged and nothing more is read.
 */
export class Session implements Connection, Peer, OutboundOwner {
  grant: Grant;
  connection: string;
  readonly #shared: SessionShared;
  readonly #o: SessionOptions;
  readonly #outbound: Outbound;
  readonly #subscriptions: Subscriptions;
  /** Undefined until something is published: most clients only listen. */
  #inbound: Inbound | undefined;
  /** Made when the first AUTH comes, which few send. */
  #renewal: Renewal | undefined;
  #expiry: number;
  #holds = 0;
  /** When the last packet came. */
  #heard: number;
  #cancelTimer: () => void = () => {};
  #finishing: CloseCode | undefined;
  #ended = false;

  /** @throws PushfleetError where the hub takes no more feeds, or the quota no more filters; it holds nothing then */
  constructor(shared: SessionShared, o: SessionOptions) {
    this.grant = o.grant;
    this.connection = o.connection;
    this.#shared = shared;
    this.#o = o;
    this.#expiry = o.terms.expiry;
    this.#heard = shared.now();
    let subscriptions: Subscriptions | undefined;
    this.#outbound = this.#makeOutbound((made) => {
      subscriptions = made;
    });
    this.#subscriptions = subscriptions as unknown as Subscriptions;
    try {
      if (o.session.kept !== undefined) this.#subscriptions.restore(o.session.kept);
    } catch (error) {
      this.#outbound.close();
      throw error;
    }
  }

  /** Says CONNACK, and after it whatever is resumed. */
  begin(connect: Connect): void {
    const { clientId, terms, session, auth } = this.#o;
    const connack = encode(
      {
        type: 'connack',
        sessionPresent: session.kept !== undefined,
        reason: reasons.success,
        properties: {
          ...told(connect, clientId, terms, this.#shared.server),
          // [MQTT-4.12.0-5]; the last data go with it (section 4.12).
          ...(auth !== undefined && { authenticationMethod: auth.method, authenticationData: auth.data }),
        },
      },
      terms.peer,
    );
    if (connack === undefined) {
      // [MQTT-3.1.2-24], [MQTT-3.2.0-1]: who does not even take this cannot be told anything.
      this.#leave('left');
      this.#shared.onEnd('request_invalid');
      this.#o.wire.end(nothing);
      return;
    }
    this.#outbound.say(connack);
    this.#outbound.begin(session.kept);
    this.#arm();
    if (session.kept !== undefined) {
      this.#subscriptions.resume(session.kept).catch((error: unknown) => this.#failed(error));
    }
  }

  packet(packet: ClientPacket): void {
    if (this.#ended) return;
    this.#heard = this.#shared.now();
    switch (packet.type) {
      case 'publish':
        this.#publishing.publish(packet);
        break;
      case 'puback':
        this.#outbound.puback(packet);
        break;
      case 'pubrec':
        this.#outbound.pubrec(packet);
        break;
      case 'pubcomp':
        this.#outbound.pubcomp(packet);
        break;
      case 'pubrel':
        this.#publishing.pubrel(packet);
        break;
      case 'subscribe':
        this.#request(packet, 'suback', this.#subscriptions.add(packet));
        break;
      case 'unsubscribe':
        this.#request(packet, 'unsuback', this.#subscriptions.remove(packet));
        break;
      case 'pingreq':
        this.#say({ type: 'pingresp' });
        break;
      case 'disconnect':
        this.#disconnect(packet);
        break;
      case 'auth':
        this.#renewal ??= this.#makeRenewal();
        this.#renewal.packet(packet);
        break;
      default:
        // A second CONNECT does not come through the codec.
        this.#fault(reasons.protocolError, 'There is one CONNECT on a connection. [MQTT-3.1.0-2]');
    }
  }

  violated({ reason, message }: Violation): void {
    this.#fault(reason, message);
  }

  drained(): void {
    this.#release(holds.answers);
    if (!this.#ended) this.#outbound.drained();
  }

  /** The connection broke, or its client closed it without DISCONNECT. */
  gone(): void {
    this.#leave('lost');
  }

  /** Another connection took the session over: this one says so and writes nothing more ([MQTT-3.1.4-3]). */
  taken(): void {
    if (this.#ended) return;
    this.#letGo();
    // Where the client that is back enters again, it was never away.
    this.#part('lost');
    this.#shared.onEnd('conflict');
    this.#o.wire.end(this.#farewell(reasons.sessionTakenOver, toldOf('conflict', takenOver)));
  }

  end(code: CloseCode): void {
    if (this.#ended || this.#finishing !== undefined) return;
    const patient = code === 'draining' || code === 'connection_age';
    if (!patient || !this.#inbound?.pending) {
      this.#finish(code);
      return;
    }
    this.#finishing = code;
    this.#hold(holds.finishing);
    this.#cancelTimer();
    this.#cancelTimer = this.#shared.wheel.after(finishMs, () => this.#finish(code));
  }

  cut(): void {
    this.#leave('lost');
    this.#o.wire.destroy();
  }

  /** For what goes out. */
  onClose(reason: CloseReason): void {
    if (reason.kind === 'failed') this.#failed(reason.error);
    else this.end(reason.kind);
  }

  onFailed(error: unknown): void {
    this.#failed(error);
  }

  say(ack: Ack): void {
    this.#say(ack);
  }

  onDisorder(): void {
    this.#fault(reasons.protocolError, 'The acknowledgement is not that of the publication. Section 4.3');
  }

  onReturned(share: string, work: readonly Pick<Work, 'publication'>[]): void {
    this.#shared.groups.giveBack(this.grant.namespace, share, work);
  }

  get #publishing(): Inbound {
    this.#inbound ??= this.#makeInbound();
    return this.#inbound;
  }

  #makeInbound(): Inbound {
    const { session, terms, origin } = this.#o;
    const current = () => this.grant;
    return new Inbound({
      ...{ session, terms, origin, publishing: this.#shared.publishing },
      get grant() {
        return current();
      },
      say: (ack) => this.#say(ack),
      fault: (reason, says) => this.#fault(reason, says),
      onFailed: (error) => this.#failed(error),
      hold: () => this.#hold(holds.publishing),
      release: () => this.#release(holds.publishing),
      onIdle: () => {
        if (this.#finishing !== undefined) this.#finish(this.#finishing);
      },
    });
  }

  #makeOutbound(onMade: (subscriptions: Subscriptions) => void): Outbound {
    const { session, terms, hub, wire } = this.#o;
    const shared = this.#shared;
    const options = { session, terms, hub, wire, now: shared.now, shared, owner: this };
    return new Outbound(options, (feed, member) => {
      const subscriptions = this.#makeSubscriptions(feed, member);
      onMade(subscriptions);
      return subscriptions;
    });
  }

  #makeSubscriptions(feed: Feed, member: SharedMember): Subscriptions {
    const { session, origin } = this.#o;
    const { quotas, groups, filters: most } = this.#shared;
    return new Subscriptions({ feed, groups, member, session, origin, quotas, most, owner: this });
  }

  #makeRenewal(): Renewal {
    return new Renewal({
      auth: this.#o.auth,
      accept: (grant) => this.#renew(grant),
      say: (packet) => {
        if (!this.#say(packet)) {
          this.#fault(reasons.packetTooLarge, 'The client takes no packet of this size. [MQTT-3.1.2-24]');
        }
      },
      fault: (reason, says) => this.#fault(reason, says),
      onFailed: (thrown) => {
        const error = PushfleetError.from(thrown);
        if (error.code === 'internal') this.#shared.onError(error.cause ?? error);
        this.#finish(error.code, error.message);
      },
    });
  }

  /** Puts another grant of the same subject in force. @throws PushfleetError `forbidden` where it allows too little */
  #renew(grant: Grant): void {
    if (this.#ended) return;
    const { subject, namespace } = this.grant;
    if (grant.subject !== subject || grant.namespace !== namespace) {
      throw new PushfleetError(
        'forbidden',
        'The token is of another subject or namespace than the one that this connection was opened with. Open another connection for it.',
      );
    }
    this.#subscriptions.require(grant);
    const { will } = this.#o;
    if (will !== undefined) requirePublish(grant, parseTopic(will.topic));
    for (const topic of this.#o.topics) grant.require('presence', topic);
    this.grant = grant;
    this.connection = this.#shared.nameOf(grant);
    if (will !== undefined) {
      this.#o.session.renewed(grant)?.catch((error: unknown) => this.#failed(error));
    }
    if (this.#finishing !== undefined) return;
    this.#cancelTimer();
    this.#arm();
  }

  /** Answers when it is done, and reads nothing meanwhile: what is asked next is asked of its outcome. */
  #request({ packetId }: Subscribe | Unsubscribe, type: Suback['type'], work: Promise<Outcome>): void {
    this.#hold(holds.subscribing);
    work.then(
      ({ reasons: given, why }) => {
        this.#say({ type, packetId, reasons: given, properties: { ...why, ...this.#place(why) } });
        this.#release(holds.subscribing);
      },
      (error) => this.#failed(error),
    );
  }

  /** Where the client is from here on, for one that is told its place with each publication. */
  #place(why: Why | undefined): { readonly userProperties?: Attributes } {
    if (this.#o.terms.encoding !== 'event') return {};
    return {
      userProperties: [...(why?.userProperties ?? []), [cursorProperty, this.#outbound.feed.cursor]],
    };
  }

  #disconnect({ reason, properties }: Disconnect): void {
    const { sessionExpiryInterval: expiry } = properties;
    if (expiry !== undefined && expiry > 0 && this.#o.terms.expiry === 0) {
      this.#fault(
        reasons.protocolError,
        'A session that was to end with its connection does. Section 3.14.2.2.2',
      );
      return;
    }
    if (expiry !== undefined) this.#expiry = Math.min(expiry, this.#shared.server.expiryMost);
    const bye = reason === reasons.success || reason === reasons.disconnectWithWill;
    this.#leave(bye ? 'left' : 'lost', reason === reasons.success);
    this.#o.wire.end(nothing);
  }

  /** False: the client takes no packet of this size. */
  #say(packet: ServerPacket): boolean {
    if (this.#ended) return true;
    const bytes = encode(packet, this.#o.terms.peer);
    if (bytes === undefined) return false;
    this.#outbound.say(bytes);
    if (!this.#outbound.writable) this.#hold(holds.answers);
    return true;
  }

  #failed(thrown: unknown): void {
    if (this.#ended) return;
    const error = PushfleetError.from(thrown);
    if (error.code === 'internal') this.#shared.onError(error.cause ?? error);
    if (error.code === 'conflict') this.taken();
    else this.#finish(error.code);
  }

  #fault(reason: Reason, says: string): void {
    if (this.#ended) return;
    this.#leave(reason === reasons.keepAliveTimeout ? 'lost' : 'left');
    this.#shared.onEnd('request_invalid');
    this.#o.wire.end(this.#farewell(reason, { reasonString: says }));
  }

  #finish(code: CloseCode, says?: string): void {
    if (this.#ended) return;
    this.#leave(retryMs(code) === undefined ? 'left' : 'lost');
    this.#shared.onEnd(code);
    this.#o.wire.end(this.#farewell(disconnectReason(code), toldOf(code, says ?? closeDetail(code))));
  }

  /** The last packet; no bytes for who knows no DISCONNECT of a server. */
  #farewell(reason: Reason, why: Why): Buffer {
    const { serverReference } = this.#shared;
    const elsewhere = reason === reasons.serverShuttingDown && serverReference !== undefined;
    const packet: ServerPacket = {
      type: 'disconnect',
      reason: elsewhere ? reasons.useAnotherServer : reason,
      properties: {
        ...why,
        ...(elsewhere && { serverReference }),
      },
    };
    return encode(packet, this.#o.terms.peer) ?? nothing;
  }

  /** Lets go of everything; the session is kept for as long as it is to be. */
  #leave(how: 'left' | 'lost', withoutWill = false): void {
    if (this.#ended) return;
    const { cursor } = this.#outbound.feed;
    this.#letGo();
    const { will } = this.#o;
    // Both say that the client is gone: its members leave when its will is due.
    const delay = Math.min(will?.properties.willDelayInterval ?? 0, this.#expiry);
    this.#part(will === undefined || withoutWill ? how : { lingerMs: delay * 1_000 });
    const left = this.#o.session.leave({ expiry: this.#expiry, withoutWill, cursor });
    left?.catch((error: unknown) => this.#shared.onError(error));
  }

  #part(how: Parting): void {
    if (this.#o.topics.length > 0) this.#shared.presence.leaveAll(this.#o.connection, how);
  }

  #letGo(): void {
    this.#ended = true;
    this.#cancelTimer();
    this.#outbound.close();
    this.#subscriptions.close();
  }

  #hold(why: number): void {
    if (this.#holds === 0) this.#o.wire.hold();
    this.#holds |= why;
  }

  #release(why: number): void {
    if ((this.#holds & why) === 0) return;
    this.#holds &= ~why;
    if (this.#holds === 0 && !this.#ended) this.#o.wire.release();
  }

  get #endsAt(): number {
    return Math.min(this.#o.agedAt, this.grant.expiresAt);
  }

  /** [MQTT-3.1.2-22]: one and a half times the keep alive. */
  get #silentAt(): number {
    const { keepAlive } = this.#o.terms;
    return keepAlive === 0 ? Number.POSITIVE_INFINITY : this.#heard + keepAlive * 1_500;
  }

  // One timer for keep alive and deadline.
  #arm(): void {
    const at = Math.min(this.#endsAt, this.#silentAt);
    this.#cancelTimer = this.#shared.wheel.after(at - this.#shared.now(), this.#onTimer);
  }

  readonly #onTimer = (): void => {
    const now = this.#shared.now();
    // Who is not read cannot be heard.
    if (this.#holds !== 0) this.#heard = now;
    if (now >= this.#endsAt) {
      this.end(this.#o.agedAt < this.grant.expiresAt ? 'connection_age' : 'token_expired');
    } else if (now >= this.#silentAt) {
      this.#fault(
        reasons.keepAliveTimeout,
        'Nothing came within one and a half times the keep alive. [MQTT-3.1.2-22]',
      );
    } else {
      this.#moved();
      this.#arm();
    }
  };

  /** The place of a quiet session moves on, or a resume would one day meet a gap. */
  #moved(): void {
    if (this.#expiry === 0) return;
    const told = this.#o.session.sending([], this.#outbound.feed.cursor);
    told?.catch((error: unknown) => this.#failed(error));
  }
}
