/** One publication or one batch at a time over HTTP/1.1, on connections that stay. */
export interface HttpSpec {
  readonly how: 'http';
  readonly host: string;
  readonly port: number;
  readonly path: string;
  /** Header lines, each with its line end. `{topic}` in these texts is the topic's number, `{payload}` its bytes. */
  readonly headers: string;
  readonly item: string;
  /** What stands around and between the items of a batch. */
  readonly batch?: { readonly size: number; readonly begin: string; readonly end: string };
  /** Stands once in an answer for each publication taken; absent: a 2xx takes them all. */
  readonly taken?: string;
  readonly connections: number;
  /** The server closes the connection after each answer, so every request has one of its own. */
  readonly closes?: true;
}

/** Pushfleet's gRPC API over node:http2, without a gRPC library: what it costs is nearly all the server's. */
export interface GrpcSpec {
  readonly how: 'grpc';
  readonly call: 'stream' | 'unary' | 'batch';
  readonly address: string;
  readonly token: string;
  /** Publications in a batch. */
  readonly size: number;
  /** Messages or batches that wait for their answer. */
  readonly window: number;
}

/** `bus.publish` inside the generator: no service between it and nats-server. */
export interface BusSpec {
  readonly how: 'bus';
  readonly servers: string;
  readonly size: number;
  readonly window: number;
}

/** The package for services, in the generator: its own cost is the generator's. */
export interface PackageSpec {
  readonly how: 'package';
  readonly address: string;
  readonly token: string;
  readonly window: number;
}

export type PublishSpec = HttpSpec | GrpcSpec | BusSpec | PackageSpec;

/** A way in that a server offers, by the name it has in the report. */
export interface PublishPath {
  readonly name: string;
  readonly spec: PublishSpec;
  /** Only with this many publishers; absent: with one and with four. */
  readonly publishers?: number;
}

export const publishTopics = 1_000;
const publishBytes = 256;

/** What the benchmark tells a generator. */
export type Order =
  | { readonly kind: 'open'; readonly spec: PublishSpec; readonly firstTopic: number }
  | { readonly kind: 'run'; readonly seconds: number };

/** What it answers: how many publications were acknowledged, and how long that took in seconds. */
export type Report =
  | { readonly kind: 'opened' }
  | { readonly kind: 'ran'; readonly acknowledged: number; readonly seconds: number }
  | { readonly kind: 'failed'; readonly reason: string };

/** Publishes one unit, a publication or a batch, and resolves with how many were acknowledged. */
export interface Source {
  send(): Promise<number>;
  /** Units that wait for their answer at once. */
  readonly window: number;
}

/** Topics in turn. */
export function* topicsFrom(first: number): Generator<number, never> {
  for (let topic = first; ; topic++) yield topic % publishTopics;
}

/** Letters alone: they stand in JSON, in a URL and in a body as they are. */
export const filler = 'abcdefghijklmnopqrstuvwxyz'.repeat(10).slice(0, publishBytes);
