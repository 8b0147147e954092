import type { Version } from './packets.ts';

/** A broker under load. */
export interface RunningBroker {
  readonly host: string;
  readonly port: number;
  /** What the client of this name sends as its password; undefined: none is asked for. */
  password(clientId: string): string | undefined;
  /** The process that clients connect to, and those behind it that a message passes. */
  readonly pids: {
    readonly front: readonly number[];
    readonly behind: readonly number[];
    /** The same by name, where they are of several kinds. */
    readonly each?: Readonly<Record<string, readonly number[]>>;
  };
  stop(): Promise<void>;
}

/** A broker that the benchmark knows how to start. */
export interface Broker {
  readonly name: string;
  readonly versions: readonly Version[];
  start(): Promise<RunningBroker>;
  /** Versions and configuration, in a line for the report. */
  about(): string;
}
