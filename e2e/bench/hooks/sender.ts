import type { Outgoing } from '../targets/target.ts';

/** A sender of webhooks under load. */
export interface RunningSender {
  /** From here on every message of topic `i` is posted to the URLs at `i`, and to no others. */
  route(urls: readonly (readonly string[])[]): Promise<void>;
  /** Hands messages over in order; resolves once the sender has taken them all. */
  publish(messages: readonly Outgoing[]): Promise<void>;
  /** The process that posts, and those that a message passes before it. */
  readonly pids: { readonly front: readonly number[]; readonly behind: readonly number[] };
  stop(): Promise<void>;
}

/** A kind of sender that the benchmark knows how to start. */
export interface Sender {
  readonly name: string;
  start(): Promise<RunningSender>;
  /** Versions and configuration, in a line for the report. */
  about(): string;
}
