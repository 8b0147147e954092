import { type Attributes, PushfleetError, parseTopic } from '@pushfleet/core';
import {
  type CloseCode,
  type Connection,
  closeDetail,
  type Loss,
  type Parting,
  retryMs,
} from '@pushfleet/edge';
import type { CloseReason, Feed } from '@pushfleet/hub';
import { requirePublish } from '@pushfleet/intake';
import type { Grant } from '@pushfleet/runtime';
import { Renewal } from '../auth/renewal.ts';
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
} from '../codec.ts';
import type { Peer } from '../doors/link.ts';
import { farewell, losses, nothing, welcome } from './greeting.ts';
import { Holds, holds } from './holds.ts';
import { Inbound } from './inbound.ts';
import { Outbound } from './outbound.ts';
import type { OutboundOwner } from './outbound-options.ts';
import type { SessionOptions, SessionShared } from './session-options.ts';
import type { SharedMember } from './shared-group.ts';
import { cursorProperty, type Outcome, Subscriptions } from './subscriptions.ts';
import { Vigil } from './vigil.ts';

// How long publications that are under way may hold up an end that can wait.
const finishMs = 5_000;

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
  readonly #holds: Holds;
  readonly #vigil: Vigil;
  #finishing: CloseCode | undefined;
  #ended = false;

  /** @throws PushfleetError where the hub takes no more feeds, or the quota no more filters; it holds nothing then */
  constructor(shared: SessionShared, o: SessionOptions) {
    this.grant = o.grant;
    this.connection = o.connection;
    this.#shared = shared;
    this.#o = o;
    this.#expiry = o.terms.expiry;
    this.#holds = new Holds(o.wire);
    this.#vigil = this.#makeVigil();
    this.#outbound = this.#makeOutbound();
    this.#subscriptions = this.#outbound.subscriptions;
    try {
      if (o.session.kept !== undefined) this.#subscriptions.restore(o.session.kept);
    } catch (error) {
      this.#outbound.close();
      throw error;
    }
  }

  /** Says CONNACK, and after it whatever is resumed. */
  begin(connect: Connect): void {
    const { session } = this.#o;
    const connack = welcome(connect, this.#o, this.#shared);
    if (connack === undefined) {
      // [MQTT-3.1.2-24], [MQTT-3.2.0-1]: who does not even take this cannot be told anything.
      this.#leave('left');
      this.#shared.onEnd('request_invalid');
      this.#o.wire.end(nothing);
      return;
    }
    this.#outbound.say(connack);
    this.#outbound.begin(session.kept);
    this.#vigil.arm();
    if (session.kept !== undefined) {
      this.#subscriptions.resume(session.kept).catch((error: unknown) => this.#failed(error));
    }
  }

  packet(packet: ClientPacket): void {
    if (this.#ended) return;
    this.#vigil.heard();
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
    this.#holds.release(holds.answers, !this.#ended);
    if (!this.#ended) this.#outbound.drained();
  }

  /** The connection broke, or its client closed it without DISCONNECT. */
  gone(): void {
    this.#leave('lost');
  }

  /**
   * Another connection took the session over ([MQTT-3.1.4-3]), or nobody has it any more: this one says so and writes nothing
   * more.
   */
  lost(how: Loss): void {
    if (this.#ended) return;
    this.#letGo();
    // Where the client that is back enters again, it was never away.
    this.#part('lost');
    const { code, reason, says } = losses[how];
    this.#shared.onEnd(code);
    this.#o.wire.end(this.#farewell(reason, toldOf(code, says)));
  }

  end(code: CloseCode): void {
    if (this.#ended || this.#finishing !== undefined) return;
    const patient = code === 'draining' || code === 'connection_age';
    if (!patient || !this.#inbound?.pending) {
      this.#finish(code);
      return;
    }
    this.#finishing = code;
    this.#holds.hold(holds.finishing);
    this.#vigil.last(finishMs, () => this.#finish(code));
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
      hold: () => this.#holds.hold(holds.publishing),
      release: () => this.#holds.release(holds.publishing, !this.#ended),
      onIdle: () => {
        if (this.#finishing !== undefined) this.#finish(this.#finishing);
      },
    });
  }

  #makeOutbound(): Outbound {
    const { session, terms, hub, wire } = this.#o;
    const shared = this.#shared;
    const options = { session, terms, hub, wire, now: shared.now, shared, owner: this };
    return new Outbound(options, (feed, member) => this.#makeSubscriptions(feed, member));
  }

  #makeSubscriptions(feed: Feed, member: SharedMember): Subscriptions {
    const { session, origin } = this.#o;
    const { quotas, groups, filters: most } = this.#shared;
    return new Subscriptions({ feed, groups, member, session, origin, quotas, most, owner: this });
  }

  #makeVigil(): Vigil {
    const { wheel, now } = this.#shared;
    const { keepAlive, expiry } = this.#o.terms;
    return new Vigil({
      ...{ wheel, now, keepAlive, keeps: expiry > 0 },
      endsAt: () => Math.min(this.#o.agedAt, this.grant.expiresAt),
      isHeld: () => this.#holds.any,
      onEnd: () => this.end(this.#o.agedAt < this.grant.expiresAt ? 'connection_age' : 'token_expired'),
      onSilence: () =>
        this.#fault(
          reasons.keepAliveTimeout,
          'Nothing came within one and a half times the keep alive. [MQTT-3.1.2-22]',
        ),
      onIdle: () => this.#moved(),
    });
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
    this.#vigil.arm();
  }

  /** Answers when it is done, and reads nothing meanwhile: what is asked next is asked of its outcome. */
  #request({ packetId }: Subscribe | Unsubscribe, type: Suback['type'], work: Promise<Outcome>): void {
    this.#holds.hold(holds.subscribing);
    work.then(
      ({ reasons: given, why }) => {
        this.#say({ type, packetId, reasons: given, properties: { ...why, ...this.#place(why) } });
        this.#holds.release(holds.subscribing, !this.#ended);
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
    if (!this.#outbound.writable) this.#holds.hold(holds.answers);
    return true;
  }

  #failed(thrown: unknown): void {
    if (this.#ended) return;
    const error = PushfleetError.from(thrown);
    if (error.code === 'internal') this.#shared.onError(error.cause ?? error);
    if (error.code === 'conflict') this.lost('taken');
    else this.#finish(error.code, error.code === 'internal' ? undefined : error.message);
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

  #farewell(reason: Reason, why: Why): Buffer {
    return farewell(this.#o.terms.peer, reason, why, this.#shared);
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
    this.#vigil.stop();
    this.#outbound.close();
    this.#subscriptions.close();
  }

  /** The place of a quiet session moves on, or a resume would one day meet a gap. */
  #moved(): void {
    if (this.#expiry === 0) return;
    const told = this.#o.session.sending([], this.#outbound.feed.cursor, true);
    told?.catch((error: unknown) => this.#failed(error));
  }
}
