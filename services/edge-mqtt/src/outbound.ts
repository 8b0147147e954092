import type { Item, Publication } from '@pushfleet/core';
import type { OutflowShared, Wire } from '@pushfleet/edge';
import type { CloseReason, Delivery, Feed, Hub } from '@pushfleet/hub';
import { OutgoingAliases } from './aliases.ts';
import { type Ack, isFailure, type OutgoingPublish, type Qos, reasons, type Sending } from './codec.ts';
import { encoders, expiryOf, qosOf } from './message.ts';
import { PacketIds } from './packet-ids.ts';
import type { SharedMember, Work } from './shared-group.ts';
import type { Held, HeldSession, Kept, Sent, Unfinished } from './store.ts';
import type { Subscriptions } from './subscriptions.ts';
import type { Terms } from './terms.ts';

export interface OutboundOptions {
  readonly shared: OutflowShared;
  readonly hub: Pick<Hub, 'open'>;
  readonly wire: Pick<Wire, 'write'>;
  readonly session: Pick<HeldSession, 'sending' | 'received' | 'finished'>;
  readonly terms: Pick<Terms, 'peer' | 'sendMaximum' | 'sendAliases'>;
  /** What this client's own publications have as theirs. */
  readonly origin: string;
  /** Unix time in milliseconds. */
  readonly now: () => number;
  /** The hub closed the feed. */
  onClose(reason: CloseReason): void;
  /** The session could not be told something. */
  onFailed(error: unknown): void;
  say(ack: Ack): void;
  /** The client acknowledged what it cannot have got. */
  onDisorder(): void;
  /** What a group gave was not sent. */
  onReturned(share: string, work: readonly Work[]): void;
}

/** A PUBLISH of QoS 1 or 2 whose acknowledgement is not complete. */
interface Flight {
  readonly qos: 1 | 2;
  /** Its PUBREC came. */
  released: boolean;
  /** It was not sent on this connection yet. */
  waiting: boolean;
}

interface Packet {
  readonly message: OutgoingPublish;
  readonly sending: Sending;
}

/** What is sent in one go, and what of it is to be on record before. */
interface Batch {
  readonly packets: readonly Packet[];
  readonly items: readonly Item<Pick<Delivery, 'publication'>>[];
  readonly sent: readonly Sent[];
}

/** How a publication comes to the client, and where it is put down. */
interface Coming {
  readonly sent: Sent[];
  readonly retained: boolean;
  readonly share: string | undefined;
}

// What one write carries at most: see `Outflow`.
const flushCount = 512;
const flushBytes = 64 * 1_024;
const noIds: readonly number[] = [];

/**
 * What a client is sent (sections 4.3 and 4.4): a feed, as PUBLISH packets within what the client takes at once. What
 * it does not take yet stays in the log: the feed is not taken from, and rewinds where its outbox is full.
 */
export class Outbound implements SharedMember {
  readonly feed: Feed;
  readonly #o: OutboundOptions;
  readonly #subscriptions: Subscriptions;
  readonly #aliases: OutgoingAliases;
  readonly #flights = new Map<number, Flight>();
  readonly #ids = new PacketIds(this.#flights);
  /** Of an earlier connection, to be sent again before anything else. */
  #again: Unfinished[] = [];
  #waiting = 0;
  #writable = true;
  #saving = false;
  /** The groups come first and the feed after them, or the feed alone: neither starves the other. */
  #turn = false;
  #begun = false;
  #closed = false;

  /** @throws PushfleetError `draining` or `too_many_connections` where the hub takes no more feeds */
  constructor(options: OutboundOptions, subscriptions: (feed: Feed, member: SharedMember) => Subscriptions) {
    const { hub, shared, terms, onClose } = options;
    this.#o = options;
    this.#aliases = new OutgoingAliases(terms.sendAliases);
    this.feed = hub.open({
      overflow: 'rewind',
      ...shared.outbox,
      onReadable: () => this.#flush(),
      onClose: (reason) => onClose(reason),
    });
    this.#subscriptions = subscriptions(this.feed, this);
  }

  /** Whether the wire takes bytes at this moment. */
  get writable(): boolean {
    return this.#writable;
  }

  /** Publications that the client was sent and has not acknowledged to the end. */
  get unacknowledged(): number {
    return this.#flights.size - this.#waiting;
  }

  get credit(): number {
    return this.#ready && this.#again.length === 0 ? this.#room() : 0;
  }

  fits(share: string, work: Work): boolean {
    const held = this.#subscriptions.get(share);
    if (held === undefined || this.#o.terms.peer.packetBytes === undefined) return true;
    return this.#fits(work.encoded(this.#encoder), this.#sending(work.publication, [held], false));
  }

  give(share: string, work: readonly Work[]): void {
    const held = this.#subscriptions.get(share);
    if (held === undefined) return;
    const sent: Sent[] = [];
    const packets = work.flatMap((one) => this.#packet(one, [held], { sent, retained: false, share }) ?? []);
    const items = work.map((value) => ({ kind: 'publication' as const, value }));
    this.#deliver({ packets, items, sent }, () => this.#o.onReturned(share, work));
  }

  lost(reason: CloseReason): void {
    this.#o.onClose(reason);
  }

  /** After CONNACK: sends again what an earlier connection left open ([MQTT-4.4.0-1]), and then what is new. */
  begin(kept: Kept | undefined): void {
    this.#begun = true;
    for (const one of kept?.unfinished ?? []) {
      const { packetId, sent } = one;
      this.#flights.set(packetId, { qos: sent?.qos ?? 2, released: sent === undefined, waiting: true });
      this.#again.push(one);
      this.#waiting++;
    }
    this.#flush();
  }

  /** Says something between the publications. */
  say(bytes: Buffer): void {
    this.#writable = this.#o.wire.write(bytes);
  }

  drained(): void {
    this.#writable = true;
    this.#flush();
  }

  puback({ packetId }: Ack): void {
    const flight = this.#flights.get(packetId);
    if (flight?.qos === 2) this.#o.onDisorder();
    else if (flight !== undefined) this.#finish(packetId, flight);
  }

  /** Section 4.3.3: the publication is the client's from here on, or it refuses it. */
  pubrec({ packetId, reason }: Ack): void {
    const flight = this.#flights.get(packetId);
    if (flight === undefined) {
      // A failure ends the exchange, there is nothing to release.
      if (!isFailure(reason)) this.#release(packetId, reasons.packetIdNotFound);
    } else if (flight.qos === 1) this.#o.onDisorder();
    else if (isFailure(reason)) this.#finish(packetId, flight);
    else if (flight.released) this.#release(packetId);
    else {
      flight.released = true;
      this.#after(this.#o.session.received(packetId), () => this.#release(packetId));
    }
  }

  pubcomp({ packetId }: Ack): void {
    const flight = this.#flights.get(packetId);
    if (flight === undefined) return;
    if (flight.released) this.#finish(packetId, flight);
    else this.#o.onDisorder();
  }

  close(): void {
    this.#closed = true;
    this.feed.close();
  }

  #release(packetId: number, reason: Ack['reason'] = reasons.success): void {
    this.#o.say({ type: 'pubrel', packetId, reason, properties: {} });
  }

  #finish(packetId: number, flight: Flight): void {
    this.#flights.delete(packetId);
    if (flight.waiting) this.#waiting--;
    this.#o.session.finished(packetId);
    this.#flush();
  }

  #after(wait: Promise<void> | undefined, go: () => void, onRefused?: () => void): void {
    if (wait === undefined) go();
    else {
      wait.then(
        () => {
          if (!this.#closed) go();
        },
        (error) => {
          this.#o.onFailed(error);
          onRefused?.();
        },
      );
    }
  }

  get #ready(): boolean {
    return this.#begun && this.#writable && !this.#saving && !this.#closed;
  }

  // The hot path: see `Outflow`. What is about to be sent is on record before it is.
  #flush(): void {
    while (this.#ready) {
      if (this.#again.length > 0) {
        if (!this.#resend()) return;
        continue;
      }
      if (this.#room() === 0) return;
      this.#turn = !this.#turn || !this.#subscriptions.sharing;
      if (this.#turn) this.#subscriptions.offer();
      const room = this.#ready ? this.#room() : 0;
      const items = room === 0 ? [] : this.feed.take(room, flushBytes);
      if (items.length > 0) this.#send(items);
      else if (this.#turn) return;
    }
  }

  /** [MQTT-3.3.4-9]; what can only have QoS 0 waits for nothing. */
  #room(): number {
    if (this.#subscriptions.highest === 0) return flushCount;
    return Math.min(flushCount, Math.max(0, this.#o.terms.sendMaximum - this.unacknowledged));
  }

  #send(items: readonly Item<Delivery>[]): void {
    const sent: Sent[] = [];
    const packets = items.flatMap((item) => (item.kind === 'gap' ? [] : (this.#own(item.value, sent) ?? [])));
    this.#deliver({ packets, items, sent });
  }

  #deliver({ packets, items, sent }: Batch, onRefused?: () => void): void {
    const wait = this.#o.session.sending(sent, this.feed.cursor);
    this.#saving = wait !== undefined;
    const go = (): void => {
      this.#saving = false;
      this.#write(packets, items);
      if (wait !== undefined) this.#flush();
    };
    this.#after(wait, go, onRefused);
  }

  /** What the feed gives. Undefined: it is not for this client. */
  #own(delivery: Delivery, sent: Sent[]): Packet | undefined {
    const { publication, filters, retained } = delivery;
    const held = filters.flatMap((filter) => this.#subscriptions.get(filter) ?? []);
    // [MQTT-3.8.3-3]
    const local = publication.origin === this.#o.origin;
    const matching = local ? held.filter(({ noLocal }) => !noLocal) : held;
    if (matching.length === 0) return undefined;
    return this.#packet(delivery, matching, { sent, retained, share: undefined });
  }

  /** @param held the subscriptions by which it comes */
  #packet(work: Work, held: readonly Held[], { sent, retained, share }: Coming): Packet | undefined {
    const { publication } = work;
    const sending = this.#sending(publication, held, retained);
    const message = work.encoded(this.#encoder);
    if (!this.#fits(message, sending)) return undefined;
    const { qos, retain, subscriptionIds } = sending;
    if (qos === 0) return this.#aliased({ message, sending }, publication.topic);
    const packetId = this.#ids.next();
    this.#flights.set(packetId, { qos, released: false, waiting: false });
    sent.push({ packetId, qos, publication, retain, subscriptionIds, share });
    return this.#aliased({ message, sending: { ...sending, packetId } }, publication.topic);
  }

  #sending(publication: Publication, held: readonly Held[], retained: boolean): Sending {
    const ids = held.flatMap(({ subscriptionId }) => subscriptionId ?? []);
    return {
      ...{ qos: lower(highest(held), qosOf(publication)), dup: false, packetId: 0 },
      ...{ topicAlias: 0, aliasKnown: false },
      // [MQTT-3.3.1-8], [MQTT-3.3.1-12], [MQTT-3.3.1-13]
      retain:
        retained || (publication.retain === true && held.some(({ retainAsPublished }) => retainAsPublished)),
      expiry: expiryOf(publication, this.#o.now()),
      subscriptionIds: ids.length === 0 ? noIds : ids,
    };
  }

  get #encoder(): (typeof encoders)[4 | 5] {
    return encoders[this.#o.terms.peer.version === 5 ? 5 : 4];
  }

  /** [MQTT-3.1.2-24], [MQTT-3.1.2-25]: what is larger than the client takes counts as delivered. */
  #fits(message: OutgoingPublish, sending: Sending): boolean {
    const { packetBytes } = this.#o.terms.peer;
    return packetBytes === undefined || message.size(sending) <= packetBytes;
  }

  #aliased({ message, sending }: Packet, topic: string): Packet {
    const known = this.#aliases.known(topic);
    if (known !== undefined) return { message, sending: { ...sending, topicAlias: known, aliasKnown: true } };
    const { next } = this.#aliases;
    const told = { ...sending, topicAlias: next };
    if (next === 0 || !this.#fits(message, told)) return { message, sending };
    this.#aliases.assign(topic);
    return { message, sending: told };
  }

  #write(packets: Batch['packets'], items: Batch['items']): void {
    if (packets.length === 0) return;
    const { shared } = this.#o;
    const written = shared.deliveries.writing(items);
    const bytes = packets.every(isShared)
      ? shared.runs.bytes(
          packets.map(({ message, sending: { retain, expiry } }) => message.shared(retain, expiry)),
        )
      : joined(packets);
    this.say(bytes);
    written?.();
    shared.written.deliveries += packets.length;
    shared.written.bytes += bytes.length;
  }

  /** Sends one packet of an earlier connection again; false: there is no room for it yet. */
  #resend(): boolean {
    const { packetId, sent } = this.#again[0] as Unfinished;
    const flight = this.#flights.get(packetId);
    const waits = flight?.waiting === true;
    if (waits && this.unacknowledged >= this.#o.terms.sendMaximum) return false;
    this.#again.shift();
    if (!waits) return true;
    flight.waiting = false;
    this.#waiting--;
    if (flight.released || sent === undefined) this.#release(packetId);
    else this.#repeat(sent, flight);
    return true;
  }

  /** [MQTT-3.3.1-1], with the packet identifier that it had. */
  #repeat(sent: Sent, flight: Flight): void {
    const { publication, packetId, qos, retain, subscriptionIds } = sent;
    const message = this.#encoder({ publication });
    const expiry = expiryOf(publication, this.#o.now());
    const aliases = { topicAlias: 0, aliasKnown: false };
    const sending = { qos, packetId, retain, subscriptionIds, expiry, dup: true, ...aliases };
    const over = publication.expiresAt !== undefined && publication.expiresAt <= this.#o.now();
    if (over || !this.#fits(message, sending)) this.#finish(packetId, flight);
    else this.say(joined([{ message, sending }]));
  }
}

const highest = (held: readonly Held[]): Qos =>
  held.some(({ qos }) => qos === 2) ? 2 : held.some(({ qos }) => qos === 1) ? 1 : 0;

const lower = (one: Qos, other: Qos): Qos => (one < other ? one : other);

/** All who get it so get the same bytes. */
const isShared = ({ sending: { qos, topicAlias, subscriptionIds } }: Packet): boolean =>
  qos === 0 && topicAlias === 0 && subscriptionIds.length === 0;

function joined(packets: readonly Packet[]): Buffer {
  let size = 0;
  for (const { message, sending } of packets) size += message.size(sending);
  const bytes = Buffer.allocUnsafe(size);
  let at = 0;
  for (const { message, sending } of packets) at = message.write(sending, bytes, at);
  return bytes;
}
