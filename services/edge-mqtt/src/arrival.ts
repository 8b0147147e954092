import { PushfleetError } from '@pushfleet/core';
import type { CloseCode } from '@pushfleet/edge';
import { connackReason, whyOf } from './close-code.ts';
import {
  type ClientPacket,
  type Connack,
  type Connect,
  encode,
  type Reason,
  reasons,
  type Version,
  type Violation,
} from './codec.ts';
import type { Link, Peer } from './doors/link.ts';
import type { Session } from './session/session.ts';

/** Why a CONNECT is not accepted, where no code of the fleet's says it. */
export class Unwelcome extends Error {
  override readonly name = 'Unwelcome';
  readonly reason: Reason;

  constructor(reason: Reason, message: string) {
    super(message);
    this.reason = reason;
  }
}

/**
 * The session cannot be had at this moment. Nobody is told: to a CONNACK that refuses, clients such as MQTT.js and those on
 * libmosquitto do not come back, and to a connection that is lost they do. [MQTT-3.1.4-2] leaves it open.
 */
export class Postponed extends Error {
  override readonly name = 'Postponed';
  override readonly cause: PushfleetError;

  constructor(cause: PushfleetError) {
    super(cause.message);
    this.cause = cause;
  }
}

type ArrivalLink = Pick<Link, 'hold' | 'release' | 'write' | 'end' | 'destroy' | 'version'> & { peer: Peer };

/** Who has said CONNECT and is not let in yet. */
export interface Guest {
  /** Whether the connection is gone by now. */
  isGone(): boolean;
  /**
   * Sends authentication data, and resolves to those that the client answers with ([MQTT-4.12.0-2],
   * [MQTT-4.12.0-3]). It never settles where the client leaves.
   *
   * @throws Unwelcome where it answers something else
   */
  ask(data: Buffer): Promise<Buffer | undefined>;
}

export interface ArrivalOptions {
  /** The connection that it is of. */
  link(): ArrivalLink;
  /**
   * Makes it a session, which has yet to begin.
   *
   * @throws PushfleetError, Unwelcome or Postponed
   */
  open(connect: Connect, guest: Guest): Promise<Session | undefined>;
  /** It is no arrival any more. */
  onSettled(): void;
  onRefused(error: PushfleetError | Unwelcome | Violation): void;
  /** Where clients go while this instance shuts down; undefined: they are not told. */
  readonly serverReference: string | undefined;
}

/** Who waits for the AUTH of a client. */
interface Asked {
  readonly method: string | undefined;
  resolve(data: Buffer | undefined): void;
  reject(error: Unwelcome): void;
}

/** A connection whose CONNECT has yet to come or to be accepted (section 3.1.4). */
export class Arrival implements Peer {
  readonly #o: ArrivalOptions;
  #gone = false;
  /** What the CONNECT says of the packets that its client takes. */
  #packetBytes: number | undefined;
  #asked: Asked | undefined;

  constructor(options: ArrivalOptions) {
    this.#o = options;
  }

  packet(packet: ClientPacket): void {
    // What is sent behind it waits for the answer (section 3.1.4, non-normative).
    this.#o.link().hold();
    if (packet.type === 'connect') void this.#admit(packet);
    else if (this.#asked !== undefined) this.#answered(packet, this.#asked);
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
    const error = new PushfleetError(
      code === 'draining' ? code : 'unavailable',
      'This instance is shutting down.',
    );
    this.#refuse(...this.#answerTo(error), this.#o.link().version);
  }

  gone(): void {
    this.#gone = true;
    this.#o.onSettled();
  }

  #ask(connect: Connect, data: Buffer): Promise<Buffer | undefined> {
    const { authenticationMethod: method, maximumPacketSize: packetBytes } = connect.properties;
    const link = this.#o.link();
    const properties = { authenticationMethod: method, authenticationData: data };
    const reason = reasons.continueAuthentication;
    const auth = encode({ type: 'auth', reason, properties }, { version: 5, packetBytes });
    if (auth === undefined) {
      throw new Unwelcome(reasons.packetTooLarge, 'The client takes no packet of this size. [MQTT-3.1.2-24]');
    }
    link.write(auth);
    const { promise, resolve, reject } = Promise.withResolvers<Buffer | undefined>();
    this.#asked = { method, resolve, reject };
    link.release();
    return promise;
  }

  #answered(packet: ClientPacket, { method, resolve, reject }: Asked): void {
    this.#asked = undefined;
    const wrong = (says: string): void => reject(new Unwelcome(reasons.protocolError, says));
    if (packet.type === 'disconnect') this.#leave();
    else if (packet.type !== 'auth') {
      wrong('Before CONNACK a client sends nothing but AUTH and DISCONNECT. [MQTT-3.1.2-30]');
    } else if (packet.reason !== reasons.continueAuthentication) {
      wrong('The AUTH that answers one has the reason code 0x18. [MQTT-4.12.0-3]');
    } else if (packet.properties.authenticationMethod !== method) {
      wrong('Every AUTH has the authentication method of the CONNECT. [MQTT-4.12.0-5]');
    } else resolve(packet.properties.authenticationData);
  }

  /** The client is told nothing: it goes by itself (section 4.12), or is to come back. */
  #leave(): void {
    this.#gone = true;
    this.#o.onSettled();
    this.#o.link().end(Buffer.alloc(0));
  }

  async #admit(connect: Connect): Promise<void> {
    const link = this.#o.link();
    this.#packetBytes = connect.properties.maximumPacketSize;
    const guest: Guest = { isGone: () => this.#gone, ask: async (data) => this.#ask(connect, data) };
    try {
      const session = await this.#o.open(connect, guest);
      if (session === undefined) return;
      this.#gone = true;
      this.#o.onSettled();
      link.peer = session;
      session.begin(connect);
      link.release();
    } catch (thrown) {
      if (thrown instanceof Postponed) {
        this.#o.onRefused(thrown.cause);
        if (!this.#gone) this.#leave();
        return;
      }
      const error = thrown instanceof Unwelcome ? thrown : PushfleetError.from(thrown);
      this.#o.onRefused(error);
      this.#refuse(...this.#answerTo(error, connect), connect.version);
    }
  }

  #answerTo(error: PushfleetError | Unwelcome, connect?: Connect): [Reason, Connack['properties']] {
    const why = error instanceof PushfleetError ? whyOf(error) : { reasonString: error.message };
    const { serverReference } = this.#o;
    const leads =
      error instanceof PushfleetError && error.code === 'draining' && serverReference !== undefined;
    if (!leads) return [reasonOf(error, connect), why];
    // Section 4.13.1: as the DISCONNECT of those that are connected.
    return [reasons.useAnotherServer, { ...why, serverReference }];
  }

  /**
   * [MQTT-3.2.0-1], [MQTT-3.2.2-7]: CONNACK with the reason, where the version has a word for it and the client takes
   * a packet of its size ([MQTT-3.1.2-24], [MQTT-3.2.2-19]), and the end.
   */
  #refuse(reason: Reason, properties: Connack['properties'], version: Version | undefined): void {
    if (this.#gone) return;
    this.#settle();
    const answer =
      version !== undefined && reason !== reasons.success
        ? encode(
            { type: 'connack', sessionPresent: false, reason, properties },
            { version, packetBytes: this.#packetBytes },
          )
        : undefined;
    this.#o.link().end(answer ?? Buffer.alloc(0));
  }

  #settle(): void {
    this.#gone = true;
    this.#o.onSettled();
  }
}

/** Who is known by a method has no user name or password that could be bad. */
function reasonOf(error: Unwelcome | PushfleetError, connect: Connect | undefined): Reason {
  if (error instanceof Unwelcome) return error.reason;
  const reason = connackReason(error.code);
  const byMethod = connect?.properties.authenticationMethod !== undefined;
  return byMethod && reason === reasons.badUserNameOrPassword ? reasons.notAuthorized : reason;
}
