import { PushfleetError } from '@pushfleet/core';
import { type CloseCode, closeDetail } from '@pushfleet/edge';
import { connackReason, toldOf, type Why, whyOf } from './close-code.ts';
import {
  type ClientPacket,
  type Connect,
  encode,
  type Reason,
  reasons,
  type Version,
  type Violation,
} from './codec.ts';
import type { Link, Peer } from './link.ts';
import type { Session } from './session.ts';

/** Why a CONNECT is not accepted, where no code of the fleet's says it. */
export class Unwelcome extends Error {
  override readonly name = 'Unwelcome';
  readonly reason: Reason;

  constructor(reason: Reason, message: string) {
    super(message);
    this.reason = reason;
  }
}

type ArrivalLink = Pick<Link, 'hold' | 'release' | 'end' | 'destroy' | 'version'> & { peer: Peer };

export interface ArrivalOptions {
  /** The connection that it is of. */
  link(): ArrivalLink;
  /**
   * Makes it a session, which has yet to begin.
   *
   * @param isGone whether the connection is gone by now
   * @throws PushfleetError or Unwelcome
   */
  open(connect: Connect, isGone: () => boolean): Promise<Session | undefined>;
  /** It is no arrival any more. */
  onSettled(): void;
  onRefused(error: PushfleetError | Unwelcome | Violation): void;
}

/** A connection whose CONNECT has yet to come or to be accepted (section 3.1.4). */
export class Arrival implements Peer {
  readonly #o: ArrivalOptions;
  #gone = false;

  constructor(options: ArrivalOptions) {
    this.#o = options;
  }

  packet(packet: ClientPacket): void {
    if (packet.type !== 'connect') return;
    // What is sent behind it waits for the answer (section 3.1.4, non-normative).
    this.#o.link().hold();
    void this.#admit(packet);
  }

  violated(violation: Violation): void {
    this.#o.onRefused(violation);
    if (violation.quiet) {
      this.#settle();
      this.#o.link().end(Buffer.alloc(0));
    } else this.#refuse(violation.reason, { reasonString: violation.message }, this.#o.link().version);
  }

  drained(): void {}

  end(code: CloseCode): void {
    const told = code === 'draining' ? code : 'unavailable';
    this.#refuse(connackReason(told), toldOf(told, closeDetail(told)), this.#o.link().version);
  }

  gone(): void {
    this.#gone = true;
    this.#o.onSettled();
  }

  /** No CONNECT came in time: nobody is there to be told. */
  late(): void {
    this.#gone = true;
    this.#o.link().destroy();
  }

  async #admit(connect: Connect): Promise<void> {
    const link = this.#o.link();
    try {
      const session = await this.#o.open(connect, () => this.#gone);
      if (session === undefined) return;
      this.#gone = true;
      this.#o.onSettled();
      link.peer = session;
      session.begin();
      link.release();
    } catch (thrown) {
      const error = thrown instanceof Unwelcome ? thrown : PushfleetError.from(thrown);
      this.#o.onRefused(error);
      if (error instanceof Unwelcome) {
        this.#refuse(error.reason, { reasonString: error.message }, connect.version);
      } else this.#refuse(connackReason(error.code), whyOf(error), connect.version);
    }
  }

  /** [MQTT-3.2.0-1], [MQTT-3.2.2-7]: CONNACK with the reason, where the version has a word for it, and the end. */
  #refuse(reason: Reason, properties: Why, version: Version | undefined): void {
    if (this.#gone) return;
    this.#settle();
    const answer =
      version !== undefined && reason !== reasons.success
        ? encode({ type: 'connack', sessionPresent: false, reason, properties }, { version })
        : undefined;
    this.#o.link().end(answer ?? Buffer.alloc(0));
  }

  #settle(): void {
    this.#gone = true;
    this.#o.onSettled();
  }
}
