import type { Grant } from '@pushfleet/runtime';
import { type ClientPacket, type Reason, reasons, type ServerPacket } from '../codec.ts';
import type { Exchange } from './exchange.ts';

type Auth = ClientPacket & { readonly type: 'auth' };

/** By which method a client was let in. */
export interface SessionAuth {
  readonly method: string;
  /** What CONNACK carries of it. */
  readonly data: Buffer | undefined;
  begin(): Exchange;
}

export interface RenewalOptions {
  /** Undefined: without a method. */
  readonly auth: SessionAuth | undefined;
  /** Puts a grant in force. @throws PushfleetError where it cannot take the place of the one before */
  accept(grant: Grant): void;
  say(auth: ServerPacket): void;
  /** Ends the connection: the client broke a rule. */
  fault(reason: Reason, says: string): void;
  /** Ends the connection: the client is not let in again ([MQTT-4.12.1-2]). */
  onFailed(error: unknown): void;
}

/** Re-authentication of one connection (section 4.12.1). Everything else goes on beside it by the former grant. */
export class Renewal {
  readonly #o: RenewalOptions;
  #exchange: Exchange | undefined;
  /** The client has to wait for an answer. */
  #busy = false;

  constructor(options: RenewalOptions) {
    this.#o = options;
  }

  packet({ reason, properties }: Auth): void {
    const { auth } = this.#o;
    const wrong = (says: string): void => this.#o.fault(reasons.protocolError, says);
    if (auth === undefined)
      wrong('Who connected without an authentication method sends no AUTH. [MQTT-4.12.0-7]');
    else if (properties.authenticationMethod !== auth.method) {
      wrong('Every AUTH has the authentication method of the CONNECT. [MQTT-4.12.1-1]');
    } else if (this.#busy) wrong('An AUTH follows the answer to the one before it. Section 4.12.1');
    else if ((reason === reasons.reauthenticate) !== (this.#exchange === undefined)) {
      wrong('A re-authentication begins with the reason code 0x19 and goes on with 0x18. Section 4.12.1');
    } else {
      this.#exchange ??= auth.begin();
      void this.#next(this.#exchange, auth, properties.authenticationData);
    }
  }

  async #next(exchange: Exchange, { method }: SessionAuth, given: Buffer | undefined): Promise<void> {
    this.#busy = true;
    try {
      const { data, ...turn } = await exchange.next(given);
      this.#busy = false;
      const known = turn.kind === 'known';
      if (known) {
        this.#o.accept(turn.grant);
        this.#exchange = undefined;
      }
      const reason = known ? reasons.success : reasons.continueAuthentication;
      const properties = {
        authenticationMethod: method,
        ...(data !== undefined && { authenticationData: data }),
      };
      this.#o.say({ type: 'auth', reason, properties });
    } catch (error) {
      this.#o.onFailed(error);
    }
  }
}
