import { PushfleetError } from '@pushfleet/core';
import type { CloseCode } from '@pushfleet/edge';
import { connackReason } from './close-code.ts';
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
    this.#refuse(violation.reason, violation.message, this.#o.link().version);
  }

  drained(): void {}

  end(code: CloseCode): void {
    this.#refuse(
      connackReason(code === 'draining' ? code : 'unavailable'),
      undefined,
      this.#o.link().version,
    );
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
      session.begin(connect);
      link.release();
    } catch (thrown) {
      const error = thrown instanceof Unwelcome ? thrown : PushfleetError.from(thrown);
      this.#o.onRefused(error);
      const reason = error instanceof Unwelcome ? error.reason : connackReason(error.code);
      this.#refuse(reason, error.message, connect.version);
    }
  }

  /** [MQTT-3.2.0-1], [MQTT-3.2.2-7]: CONNACK with the reason, where the version has a word for it, and the end. */
  #refuse(reason: Reason, reasonString: string | undefined, version: Version | undefined): void {
    if (this.#gone) return;
    this.#gone = true;
    this.#o.onSettled();
    const properties = reasonString === undefined ? {} : { reasonString };
    const answer =
      version !== undefined && reason !== reasons.success
        ? encode({ type: 'connack', sessionPresent: false, reason, properties }, { version })
        : undefined;
    this.#o.link().end(answer ?? Buffer.alloc(0));
  }
}
