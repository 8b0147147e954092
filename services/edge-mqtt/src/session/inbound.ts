import { isReserved, PushfleetError, type Stored, type Topic } from '@pushfleet/core';
import type { Publishing } from '@pushfleet/intake';
import type { Grant } from '@pushfleet/runtime';
import { publishReason, whyOf } from '../close-code.ts';
import { type Ack, type Publish, type Reason, reasons } from '../codec.ts';
import { submissionOf } from '../publication/message.ts';
import { IncomingAliases } from './aliases.ts';
import { Answers } from './answers.ts';
import type { HeldSession, Incoming } from './store.ts';
import type { Terms } from './terms.ts';

export interface InboundOptions {
  /** The one in force, which may change. */
  readonly grant: Grant;
  readonly publishing: Pick<Publishing, 'publish'>;
  readonly session: Pick<HeldSession, 'incoming' | 'stored' | 'released'>;
  readonly terms: Pick<Terms, 'peer' | 'receiveMaximum' | 'receiveAliases'>;
  readonly origin: string;
  say(ack: Ack): void;
  /** Ends the connection: the client broke a rule. */
  fault(reason: Reason, says: string): void;
  /** The log or the session is out of reach: what is not acknowledged comes again on another connection. */
  onFailed(error: unknown): void;
  /** Stops reading, and goes on. */
  hold(): void;
  release(): void;
  /** Nothing is on its way into the log any more. */
  onIdle(): void;
}

/** Publications of one connection that are on their way into the log, from which on nothing more is read. */
const pendingMost = 256;

/** What a client publishes (sections 3.3.4 and 4.3). It is acknowledged when the log has it, and not before. */
export class Inbound {
  readonly #o: InboundOptions;
  readonly #aliases = new IncomingAliases();
  readonly #answers: Answers;
  /** Packet identifiers that count against the receive maximum. */
  readonly #unacknowledged = new Set<number>();
  /** Those of QoS 2 whose publication is on its way into the log. */
  readonly #storing = new Set<number>();
  #pending = 0;
  /** The last id that is not on record yet. */
  #recording: Promise<Incoming> | undefined;

  constructor(options: InboundOptions) {
    this.#o = options;
    this.#answers = new Answers((ack) => options.say(ack));
  }

  /** Publications that are on their way into the log. */
  get pending(): number {
    return this.#pending;
  }

  publish(packet: Publish): void {
    const topic = this.#topicOf(packet);
    if (topic === undefined || !this.#admits(packet)) return;
    if (packet.qos === 2) this.#publish2(packet, topic);
    else void this.#store(packet, topic);
  }

  /** Section 4.3.3: the packet identifier is free from here on. */
  pubrel({ packetId }: Ack): void {
    if (this.#storing.has(packetId)) {
      this.#o.fault(reasons.protocolError, 'A PUBREL follows the PUBREC of its PUBLISH. [MQTT-4.3.3-4]');
      return;
    }
    // Also where it is not known: a PUBREL comes again where its PUBCOMP got lost (ADR 0032).
    const complete = (): void => {
      this.#unacknowledged.delete(packetId);
      this.#o.say({ type: 'pubcomp', packetId, reason: reasons.success, properties: {} });
    };
    const wait = this.#o.session.released(packetId);
    if (wait === undefined) complete();
    else wait.then(complete, (error) => this.#o.onFailed(error));
  }

  /** Undefined: the connection ends. */
  #topicOf({ topic, properties: { topicAlias } }: Publish): string | undefined {
    if (topicAlias === undefined) return topic;
    const { fault, terms } = this.#o;
    if (topicAlias > terms.receiveAliases) {
      fault(
        reasons.topicAliasInvalid,
        `A topic alias is at most ${terms.receiveAliases} here. [MQTT-3.3.2-9]`,
      );
      return undefined;
    }
    const found = this.#aliases.resolve(topicAlias, topic);
    if (found === undefined) {
      fault(reasons.protocolError, 'The topic alias stands for no topic yet. Section 3.3.2.3.4');
    }
    return found;
  }

  #admits({ qos, packetId }: Publish): boolean {
    if (qos === 0) return true;
    this.#unacknowledged.add(packetId);
    const { terms, fault } = this.#o;
    if (this.#unacknowledged.size <= terms.receiveMaximum) return true;
    fault(
      reasons.receiveMaximumExceeded,
      `More than ${terms.receiveMaximum} publications are unacknowledged. [MQTT-3.3.4-7]`,
    );
    return false;
  }

  #publish2(packet: Publish & { readonly qos: 1 | 2 }, topic: string): void {
    const { packetId } = packet;
    // It was sent twice; one answer is on its way ([MQTT-4.3.3-10]).
    if (this.#storing.has(packetId)) return;
    const incoming = this.#inOrder(this.#o.session.incoming(packetId));
    if (!(incoming instanceof Promise) && incoming.stored) this.#answers.place()(ackOf(packet, accepted));
    else {
      this.#storing.add(packetId);
      void this.#store(packet, topic, incoming);
    }
  }

  /** None goes into the log before those that came before it ([MQTT-4.6.0-5]), whose ids are not on record yet. */
  #inOrder(incoming: Incoming | Promise<Incoming>): Incoming | Promise<Incoming> {
    const before = this.#recording;
    if (before === undefined && !(incoming instanceof Promise)) return incoming;
    const both = Promise.all([incoming, before]);
    const recording = both.then(([one]) => {
      if (this.#recording === recording) this.#recording = undefined;
      return one;
    });
    this.#recording = recording;
    return recording;
  }

  async #store(packet: Publish, topic: string, incoming?: Incoming | Promise<Incoming>): Promise<void> {
    const answer = packet.qos === 0 ? nobodyWaits : this.#answers.place();
    this.#begin();
    try {
      const known = incoming instanceof Promise ? await incoming : incoming;
      answer(known?.stored ? this.#known(packet) : await this.#publish(packet, topic, known?.id));
    } catch (error) {
      answer(undefined);
      if (packet.qos > 0) this.#o.onFailed(error);
    } finally {
      this.#end();
    }
  }

  #known(packet: Publish): Ack {
    this.#storing.delete(packet.packetId as number);
    return ackOf(packet, accepted);
  }

  async #publish(packet: Publish, topic: string, id: string | undefined): Promise<Ack | undefined> {
    const { grant, origin, publishing } = this.#o;
    const [stored] = await publishing.publish(grant, [submissionOf({ ...packet, topic }, origin, id)]);
    return this.#settled(packet, topic, stored);
  }

  /** What is said of a publication that the log answered. @throws what ends the connection */
  async #settled(
    packet: Publish,
    topic: string,
    answer: Stored | PushfleetError | undefined,
  ): Promise<Ack | undefined> {
    if (packet.qos === 0) return undefined;
    const { packetId } = packet;
    const failed = answer instanceof PushfleetError;
    const outcome = failed ? this.#refusal(answer, packet, topic) : accepted;
    if (packet.qos === 2) {
      if (failed) await this.#o.session.released(packetId);
      else await this.#o.session.stored(packetId);
      this.#storing.delete(packetId);
    }
    if (failed || packet.qos === 1) this.#unacknowledged.delete(packetId);
    return ackOf(packet, outcome);
  }

  /** @throws the error, where the client had better come again than hear of it */
  #refusal(error: PushfleetError, { qos, dup }: Publish, topic: string): Outcome {
    // No token opens it, so there is no grant to name; and paho's interoperability client reads no words in a PUBACK.
    if (error.code === 'forbidden' && isReserved(topic as Topic)) return closed;
    const reason = publishReason(error.code);
    // Before MQTT 5 every acknowledgement is a success ([MQTT-3.3.5-2]), and what had no room would be lost.
    const isSaid = this.#o.terms.peer.version === 5;
    // The log may have it by the sending before, and the client would send it again as another one ([MQTT-4.3.3-5]).
    const isPerhapsStored = qos === 2 && dup;
    const isPassing = reason === reasons.quotaExceeded;
    if (reason === undefined || (isPassing && (!isSaid || isPerhapsStored))) throw error;
    return { reason, properties: whyOf(error) };
  }

  #begin(): void {
    if (++this.#pending === pendingMost) this.#o.hold();
  }

  #end(): void {
    if (this.#pending-- === pendingMost) this.#o.release();
    if (this.#pending === 0) this.#o.onIdle();
  }
}

const nobodyWaits = (): void => {};

type Outcome = Pick<Ack, 'reason' | 'properties'>;

const accepted: Outcome = { reason: reasons.success, properties: {} };
const closed: Outcome = { reason: reasons.notAuthorized, properties: {} };

const ackOf = ({ packetId, qos }: Publish, { reason, properties }: Outcome): Ack => ({
  type: qos === 1 ? 'puback' : 'pubrec',
  packetId: packetId as number,
  reason,
  properties,
});
