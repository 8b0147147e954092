import type { PushfleetError } from '@pushfleet/core';
import type { Grant } from '@pushfleet/runtime';

export type Transport = 'tcp' | 'tls' | 'websocket';

/** What is known of a client before its CONNECT. */
export interface Caller {
  readonly transport: Transport;
  /** Where it is; undefined: behind a proxy that does not say. */
  readonly address: string | undefined;
  /** What its verified certificate allows, or why that is of no use; undefined where it says nothing. */
  readonly certificate?: Grant | PushfleetError | undefined;
  /** What the handshake of its WebSocket allows, by header, cookie or ticket, or why it allows nothing. */
  readonly visitor?: Grant | PushfleetError | undefined;
}

/** The bytes of a connection, whatever carries them; a socket is one, whose errors somebody else hears. */
export interface ByteStream {
  on(event: 'data', listener: (bytes: Buffer) => void): unknown;
  on(event: 'drain' | 'end' | 'close', listener: () => void): unknown;
  /** False: it is full, and `drain` comes once it is not. */
  write(bytes: Buffer): boolean;
  end(bytes: Buffer): unknown;
  destroy(): unknown;
  pause(): unknown;
  resume(): unknown;
}

/** Somebody whose bytes can be read. */
export interface Newcomer {
  readonly stream: ByteStream;
  readonly caller: Caller;
  /** It came in, or was told that it may not: nothing hurries it any more. */
  settle(): void;
}
