import type { Counted } from '../load/protocol.ts';
import type { Qos, Version } from './packets.ts';

/** A client of a broker: its CONNECT, and its SUBSCRIBE, in base64. */
export interface Entrance {
  readonly connect: string;
  readonly subscribe: string;
}

/** What the benchmark tells a process of clients. */
export type Command =
  | {
      readonly kind: 'open';
      readonly host: string;
      readonly port: number;
      readonly version: Version;
      readonly qos: Qos;
      readonly entrances: readonly Entrance[];
      /** Local addresses, taken in turn: one alone has too few ports for many connections. */
      readonly sources: readonly string[];
      /** Every how many clients one has the latency of its messages taken. */
      readonly sampleEvery: number;
    }
  /** Connects, waits for CONNACK, says DISCONNECT, with each of these, so many at a time. */
  | {
      readonly kind: 'visit';
      readonly host: string;
      readonly port: number;
      readonly connects: readonly string[];
      readonly sources: readonly string[];
      readonly atOnce: number;
    }
  | { readonly kind: 'mark' }
  | { readonly kind: 'count' };

/** What a process of clients answers. `progress` comes by itself and names its slowest client. */
export type Reply =
  | { readonly kind: 'opened' | 'marked' | 'visited' }
  | { readonly kind: 'failed'; readonly reason: string }
  | { readonly kind: 'progress'; readonly min: number }
  | ({ readonly kind: 'counted' } & Counted);
