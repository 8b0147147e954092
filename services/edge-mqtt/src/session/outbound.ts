import type { Item, Publication, Topic, TopicFilter } from '@pushfleet/core';
import type { Wire } from '@pushfleet/edge';
import type { CloseReason, Delivery, Feed, FeedOptions } from '@pushfleet/hub';
import { type Ack, isFailure, type OutgoingPublish, reasons, type Sending } from '../codec.ts';
import { gapOf, gapTopic } from '../publication/gap.ts';
import { type Encoding, encoders, expiryOf, placelessEncoder } from '../publication/message.ts';
import { OutgoingAliases } from './aliases.ts';
import { type Batch, type Flight, flightAgain, flights } from './flights.ts';
import type { Places } from './given.ts';
import { LazyMap } from './lazy-map.ts';
import type { OutboundOptions, OutboundShared } from './outbound-options.ts';
import { aliased, noAlias, sendingOf } from './sending.ts';
import type { SharedMember } from './shared-group.ts';
import { Hand, type Work } from './shared-work.ts';
import type { Kept, Sent, Unfinished } from './store.ts';
import type { Subscriptions, Wanted } from './subscriptions.ts';

// What one write carries at most: see `Outflow`.
const flushCount = 512;
const flushBytes = 64 * 1_024;

/**
 * What a client is sent (sections 4.3 and 4.4): a feed, as PUBLISH packets within what the client takes at once. What
 * it does not take yet stays in the log: the feed is not taken from, and rewinds where its outbox is full.
 */
export class Outbound implements SharedMember, FeedOptions {
  readonly feed: Feed;
  /** Which of the feed's and the groups' publications are wanted, and how. */
  readonly subscriptions: Subscriptions;
  readonly overflow = 'rewind';
  readonly #o: OutboundOptions;
  // What each delivery needs of the options lies here: with thousands of clients an object more is a wait for memory.
  readonly #shared: OutboundShared;
  readonly #wire: Pick<Wire, 'write'>;
  readonly #packetBytes: number;
  readonly #sendMaximum: number;
  /** The session may outlive the connection. */
  readonly #keeps: boolean;
  /** Undefined: the client takes none. */
  readonly #aliases: OutgoingAliases | undefined;
  readonly #encoder: (typeof encoders)[Encoding];
  readonly #flights = new LazyMap<number, Flight>();
  /** Of an earlier connection, to be sent again before anything else. */
  #again: Unfinished[] | undefined;
  /** By an earlier connection. */
  #given: Places | undefined;
  #waiting = 0;
  #writable = true;
  #saving = false;
  /** Of groups, and theirs until PUBACK, by packet identifier. */
  readonly #lent = new LazyMap<number, Work>();
  /** The groups come first, as the feed had something last: neither starves the other. */
  #groupsNext = true;
  #begun = false;
  #closed = false;

  /** @throws PushfleetError `draining` or `too_many_connections` where the hub takes no more feeds */
  constructor(options: OutboundOptions, subscriptions: (feed: Feed, member: SharedMember) => Subscriptions) {
    const { hub, shared, wire, terms } = options;
    this.#o = options;
    this.#shared = shared;
    this.#wire = wire;
    this.#packetBytes = terms.peer.packetBytes ?? Number.POSITIVE_INFINITY;
    this.#sendMaximum = terms.sendMaximum;
    this.#keeps = terms.expiry > 0;
    this.#aliases = terms.sendAliases === 0 ? undefined : new OutgoingAliases(terms.sendAliases);
    this.#encoder = encoders[terms.encoding];
    this.feed = hub.open(this);
    this.subscriptions = subscriptions(this.feed, this);
  }

  /** For the feed, of which this is its own options. */
  get count(): number {
    return this.#shared.outbox.count;
  }

  get bytes(): number {
    return this.#shared.outbox.bytes;
  }

  onReadable(): void {
    this.#flush();
  }

  onClose(reason: CloseReason): void {
    this.#o.owner.onClose(reason);
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
    return this.#ready && this.#again === undefined ? this.#room() : 0;
  }

  fits(share: string, work: Work): boolean {
    const held = this.subscriptions.get(share);
    if (held === undefined || this.#packetBytes === Number.POSITIVE_INFINITY) return true;
    return this.#fits(
      work.encoded(this.#sharedEncoder),
      sendingOf(work.publication, held, false, this.#o.now),
    );
  }

  give(share: string, work: readonly Work[]): void {
    const held = this.subscriptions.get(share);
    if (held === undefined) {
      for (const one of work) one.back();
      return;
    }
    this.#groupsNext = false;
    const items = work.map((value) => ({ kind: 'publication' as const, value }));
    const hand = new Hand();
    const batch = { items, share, hand, packets: [], sent: [] };
    for (const one of work) this.#take(one, this.#add(batch, one, held, false), hand);
    this.#deliver(batch);
  }

  dry(): void {
    this.#groupsNext = false;
    this.#flush();
  }

  /** After CONNACK: sends again what an earlier connection left open ([MQTT-4.4.0-1]), and then what is new. */
  begin(kept: Kept | undefined): void {
    this.#begun = true;
    this.#given = kept?.given;
    const again = kept?.unfinished ?? [];
    for (const one of again) this.#flights.set(one.packetId, flightAgain(one));
    this.#waiting = again.length;
    if (again.length > 0) this.#again = [...again];
    this.#flush();
  }

  /** Says something between the publications. */
  say(bytes: Buffer): void {
    this.#writable = this.#wire.write(bytes);
  }

  drained(): void {
    this.#writable = true;
    this.#flush();
  }

  puback({ packetId }: Ack): void {
    const flight = this.#flights.get(packetId);
    if (flight?.qos === 2) this.#o.owner.onDisorder();
    else if (flight !== undefined) this.#finish(packetId, flight);
  }

  /** Section 4.3.3: the publication is the client's from here on, or it refuses it. */
  pubrec({ packetId, reason }: Ack): void {
    const flight = this.#flights.get(packetId);
    if (flight === undefined) {
      // A failure ends the exchange, there is nothing to release. What else is not known may be of an earlier time.
      if (!isFailure(reason)) this.#release(packetId);
    } else if (flight.qos === 1) this.#o.owner.onDisorder();
    else if (isFailure(reason)) this.#finish(packetId, flight);
    else if (flight.released) this.#release(packetId);
    else this.#received(packetId, flight);
  }

  pubcomp({ packetId }: Ack): void {
    const flight = this.#flights.get(packetId);
    if (flight === undefined) return;
    if (flight.released) this.#finish(packetId, flight);
    else this.#o.owner.onDisorder();
  }

  close(): void {
    this.#closed = true;
    this.feed.close();
    for (const [, work] of this.#lent) work.back();
  }

  /** Whose it is from now on: of QoS 1 the group's, until PUBACK; of QoS 2 the session's, once that has it. */
  #take(work: Work, sending: Sending | undefined, hand: Hand): void {
    if (sending === undefined) work.done();
    else if (sending.qos === 1) this.#lent.set(sending.packetId, work);
    else if (sending.qos === 2 && this.#keeps) hand.isRecorded(work);
    else hand.passes(work);
  }

  #received(packetId: number, flight: Flight): void {
    this.#flights.set(packetId, { ...flight, released: true });
    const wait = flight.kept ? this.#o.session.received(packetId) : undefined;
    this.#after(wait, () => this.#release(packetId));
  }

  #release(packetId: number): void {
    this.#o.owner.say({ type: 'pubrel', packetId, reason: reasons.success, properties: {} });
  }

  #finish(packetId: number, flight: Flight): void {
    // Where there was room before, nothing has waited for any.
    const waited = this.unacknowledged >= this.#sendMaximum || this.subscriptions.sharing;
    this.#flights.delete(packetId);
    if (flight.waiting) this.#waiting--;
    if (flight.kept) this.#o.session.finished(packetId);
    // [MQTT-4.8.2-6]: also where the client refuses it.
    this.#lent.get(packetId)?.done();
    this.#lent.delete(packetId);
    if (waited) this.#flush();
  }

  #after(wait: Promise<void> | undefined, go: () => void): void {
    if (wait === undefined) go();
    else {
      wait.then(
        () => {
          if (!this.#closed) go();
        },
        (error) => this.#o.owner.onFailed(error),
      );
    }
  }

  get #ready(): boolean {
    return this.#begun && this.#writable && !this.#saving && !this.#closed;
  }

  // The hot path: see `Outflow`. What is about to be sent is on record before it is.
  #flush(): void {
    while (this.#ready) {
      if (this.#again !== undefined) {
        if (!this.#resend(this.#again)) return;
        continue;
      }
      const free = this.#room();
      const room = free - (this.subscriptions.sharing && this.#leavesRoom(free) ? 1 : 0);
      if (room === 0) return;
      const items = this.feed.take(room, flushBytes);
      if (items.length === 0) {
        this.subscriptions.emptied();
        return;
      }
      this.#groupsNext = true;
      this.#send(items);
    }
  }

  /** Whether the groups are about to bring something, and are to have room for it. */
  #leavesRoom(free: number): boolean {
    return this.subscriptions.offer(free > 0 && this.#groupsNext);
  }

  /** [MQTT-3.3.4-9]; what can only have QoS 0 waits for nothing. */
  #room(): number {
    if (this.subscriptions.highest === 0) return flushCount;
    return Math.min(flushCount, Math.max(0, this.#sendMaximum - this.unacknowledged));
  }

  #send(items: readonly Item<Delivery>[]): void {
    const batch = { items, share: undefined, hand: undefined, packets: [], sent: [] };
    for (const item of items) {
      if (item.kind === 'gap') {
        this.#tell(batch, item);
        continue;
      }
      const { publication, retained } = item.value;
      // A retained one is asked for again by SUBSCRIBE.
      if (!retained && this.#given?.take(publication) === true) continue;
      const wanted = this.subscriptions.wanted(item.value);
      if (wanted !== undefined) this.#add(batch, item.value, wanted, retained);
    }
    this.#deliver(batch);
  }

  /** What is about to be sent is on record before it is, where that is of use to anybody. */
  #deliver(batch: Batch): void {
    const { share, sent, hand } = batch;
    const isKept = this.#keeps && (share === undefined || sent.length > 0);
    const wait = isKept ? this.#o.session.sending(sent, this.feed.cursor, share === undefined) : undefined;
    if (wait === undefined) {
      hand?.onRecord();
      this.#write(batch);
      return;
    }
    this.#saving = true;
    const go = (): void => {
      this.#saving = false;
      this.#write(batch);
      this.#flush();
    };
    this.#after(wait, go);
    if (hand !== undefined)
      void wait
        .then(() => hand.onRecord())
        .catch(() => {})
        .then(() => hand.over());
  }

  /** For who asked to be told of gaps. */
  #tell({ packets }: Batch, { from, to }: Item<Delivery> & { readonly kind: 'gap' }): void {
    const held = this.subscriptions.get(gapTopic);
    if (held === undefined) return;
    const publication = gapOf(from, to, this.#o.now());
    const message = this.#encoder({ publication, cursor: to });
    const sending = sendingOf(publication, held, false, this.#o.now);
    if (this.#fits(message, sending)) packets.push(message.packet(sending));
  }

  /** [MQTT-3.1.2-24], [MQTT-3.1.2-25]: what is larger than the client takes counts as delivered. */
  #add(
    batch: Batch,
    work: Pick<Work, 'publication' | 'encoded'>,
    wanted: Wanted,
    retained: boolean,
  ): Sending | undefined {
    const message = work.encoded(batch.share === undefined ? this.#encoder : this.#sharedEncoder);
    const sending = sendingOf(work.publication, wanted, retained, this.#o.now);
    if (sending.qos > 0) sending.packetId = this.#idOf(message);
    const bytes = this.#bytesOf(message, sending, work.publication.topic);
    if (bytes === undefined) return undefined;
    if (sending.qos > 0) this.#launch(batch, work.publication, sending);
    batch.packets.push(bytes);
    return sending;
  }

  #launch({ share, sent }: Batch, publication: Publication, sending: Sending): void {
    const { packetId, retain, subscriptionIds } = sending;
    const qos = sending.qos as 1 | 2;
    const kept = this.#keeps && (share === undefined || qos === 2);
    this.#flights.set(packetId, kept ? flights[qos].kept : flights[qos].passing);
    if (kept) sent.push({ packetId, qos, publication, retain, subscriptionIds });
  }

  /** What comes by a group says nothing of the client's own place. */
  get #sharedEncoder(): (typeof encoders)[Encoding] {
    const { encoding } = this.#o.terms;
    return encoding === 'event' ? placelessEncoder : encoders[encoding];
  }

  /** The same for all who are sent the message, but for those that have it in use. */
  #idOf(message: OutgoingPublish): number {
    const { packetIds } = this.#shared;
    if (message.packetId === 0) message.packetId = packetIds.next();
    return packetIds.free(message.packetId, this.#flights);
  }

  #fits(message: OutgoingPublish, sending: Sending): boolean {
    return this.#packetBytes === Number.POSITIVE_INFINITY || message.size(sending) <= this.#packetBytes;
  }

  /** The packet, its bytes shared with all to whom the same is said; undefined: the client does not take it. */
  #bytesOf(message: OutgoingPublish, sending: Sending, topic: string): Buffer | undefined {
    if (!this.#fits(message, sending)) return undefined;
    if (this.#aliases !== undefined) {
      const fits = (told: Sending): boolean => this.#fits(message, told);
      return message.packet(aliased(sending, this.#aliases, topic, fits));
    }
    return sending.subscriptionIds.length === 0 ? message.shared(sending) : message.packet(sending);
  }

  #write({ packets, items, hand }: Batch): void {
    if (packets.length === 0) return;
    hand?.written();
    const shared = this.#shared;
    const written = shared.deliveries.writing(items);
    // Packets with aliases are the client's own, and so is what they make together.
    const bytes = this.#aliases === undefined ? shared.runs.bytes(packets) : Buffer.concat(packets);
    this.say(bytes);
    written?.();
    shared.written.deliveries += packets.length;
    shared.written.bytes += bytes.length;
  }

  /** Sends one packet of an earlier connection again; false: there is no room for it yet. */
  #resend(again: Unfinished[]): boolean {
    const { packetId, sent } = again[0] as Unfinished;
    const flight = this.#flights.get(packetId);
    const waits = flight?.waiting === true;
    if (waits && this.unacknowledged >= this.#sendMaximum) return false;
    again.shift();
    if (again.length === 0) this.#again = undefined;
    if (!waits) return true;
    this.#flights.set(packetId, { ...flight, waiting: false });
    this.#waiting--;
    if (flight.released || sent === undefined) this.#release(packetId);
    else this.#repeat(sent);
    return true;
  }

  /** [MQTT-3.3.1-1], with the packet identifier that it had; what the client may not have any more counts as delivered. */
  #repeat({ publication, ...sent }: Sent): void {
    const message = this.#encoder({ publication });
    const sending = { ...sent, ...noAlias, dup: true, expiry: expiryOf(publication, this.#o.now) };
    const over = publication.expiresAt !== undefined && publication.expiresAt <= this.#o.now();
    const flight = this.#flights.get(sent.packetId) as Flight;
    const granted = this.#o.owner.grant.maySubscribe(publication.topic as Topic & TopicFilter);
    if (granted && !over && this.#fits(message, sending)) {
      this.say(message.packet(sending));
      return;
    }
    // Its client may have it, and wait for PUBREL: a packet identifier that is used again before is taken for this one.
    if (sent.qos === 2) this.#received(sent.packetId, flight);
    else this.#finish(sent.packetId, flight);
  }
}
