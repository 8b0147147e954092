import { PushfleetError } from '@pushfleet/core';
import { type CloseCode, closeDetail } from '@pushfleet/edge';
import type { Fault } from '@pushfleet/edge/websocket';
import type { Grant, TimerWheel, TokenCheck } from '@pushfleet/runtime';
import { readText, Unreadable } from './client-message.ts';
import { farewell } from './farewell.ts';
import type { Peer } from './link.ts';

/** Bytes of whoever has not said who it is: a token, and what is said right behind it. */
const mostBytes = 32_768;

export interface LobbyOptions {
  readonly tokens: TokenCheck;
  readonly wheel: Pick<TimerWheel, 'after'>;
  /** How long the client has for its first message, in milliseconds. */
  readonly authMs: number;
  /** Ends the connection with these bytes. */
  end(bytes: Buffer): void;
  /** Makes it a session. @throws PushfleetError where it may not be one */
  admit(grant: Grant): Peer;
  onRefused(error: PushfleetError): void;
}

/**
 * A connection whose client has yet to say who it is: waiting → checking → a session, or the end. What is said while
 * the token is checked waits for the session.
 */
export class Lobby implements Peer {
  readonly #o: LobbyOptions;
  readonly #said: { readonly data: Buffer; readonly binary: boolean }[] = [];
  readonly #cancelTimer: () => void;
  /** Bytes that came, and of those the messages that are kept, inflated. */
  #bytes = 0;
  #kept = 0;
  #checking = false;
  #left = false;

  constructor(options: LobbyOptions) {
    this.#o = options;
    this.#cancelTimer = options.wheel.after(options.authMs, () =>
      this.#refuse(new PushfleetError('unauthenticated', late(options.authMs))),
    );
  }

  message(data: Buffer, binary: boolean): void {
    if (this.#left) return;
    if (this.#checking) {
      this.#kept += data.length;
      if (this.#kept > mostBytes) this.#refuse(tooMuch());
      else this.#said.push({ data: Buffer.from(data), binary });
      return;
    }
    const message = binary ? undefined : readText(data);
    if (binary) this.#refuse(new PushfleetError('request_invalid', first), 1003);
    else if (message instanceof Unreadable) this.#refuse(message.error);
    else if (message?.type !== 'auth') this.#refuse(new PushfleetError('unauthenticated', first));
    else void this.#check(message.token);
  }

  async #check(token: string): Promise<void> {
    this.#checking = true;
    try {
      const grant = await this.#o.tokens.check(token);
      if (this.#left) return;
      const session = this.#o.admit(grant);
      this.#leave();
      for (const { data, binary } of this.#said) session.message(data, binary);
    } catch (error) {
      this.#refuse(PushfleetError.from(error));
    }
  }

  heard(bytes: number): void {
    this.#bytes += bytes;
    if (this.#bytes > mostBytes) this.#refuse(tooMuch());
  }

  drained(): void {}

  fault({ wsCode, message }: Fault): void {
    this.#refuse(
      new PushfleetError(wsCode === 1009 ? 'payload_too_large' : 'request_invalid', message),
      wsCode,
    );
  }

  gone(): void {
    this.#leave();
  }

  end(code: CloseCode): void {
    this.#leave();
    this.#o.end(farewell(code, closeDetail(code)));
  }

  #refuse(error: PushfleetError, closeCode?: number): void {
    if (this.#left) return;
    this.#leave();
    this.#o.onRefused(error);
    this.#o.end(farewell(error.code, error.message, { closeCode, retryAfterMs: error.retryAfterMs }));
  }

  #leave(): void {
    this.#left = true;
    this.#cancelTimer();
  }
}

const first = 'The first message is {"type":"auth","token":"…"} where the handshake brought no credentials.';
const late = (ms: number): string => `No token came within ${ms / 1_000} s. ${first}`;
const tooMuch = (): PushfleetError =>
  new PushfleetError('payload_too_large', `At most ${mostBytes} bytes come before the answer to "auth".`, {
    detail: { limit: mostBytes },
  });
