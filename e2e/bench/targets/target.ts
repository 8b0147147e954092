import type { Turn } from '../load/protocol.ts';
import type { ScenarioName } from '../plan.ts';
import type { PublishPath } from '../publish/spec.ts';

/** A message on its way: which topic, by number, and the payload's text. */
export interface Outgoing {
  readonly topic: number;
  readonly payload: string;
}

/** The ways to publish to a server. */
export interface Intake {
  readonly paths: readonly PublishPath[];
  /** The processes published to, and those behind them that a publication passes until it is acknowledged. */
  readonly front: readonly number[];
  readonly behind: readonly number[];
  /** How many messages its log holds; absent where it has none. */
  stored?(): Promise<number>;
}

/** A server under load. */
export interface Running {
  readonly host: string;
  readonly port: number; // another one after a restart
  /** The whole HTTP request with which client `client` listens to topic `topic`. */
  request(client: number, topic: number): string;
  /** What is then said over a WebSocket until the subscription stands; absent where the request says it all. */
  turns?(topic: number): readonly Turn[];
  /** Hands messages over in order; resolves once the server has taken them all. */
  publish(messages: readonly Outgoing[]): Promise<void>;
  /** Processes that face the clients, and those behind them that a message passes on its way. */
  readonly pids: { readonly front: readonly number[]; readonly behind: readonly number[] };
  readonly intake?: Intake;
  /** Ends what faces the clients and starts it anew; absent where what clients resume from would be lost with it. */
  restart?(): Promise<void>;
  /** How many messages the broker behind has sent so far; absent where there is none. */
  brokerMessages?(): Promise<number>;
  stop(): Promise<void>;
}

/** A kind of server that the benchmark knows how to start. */
export interface Target {
  readonly name: string;
  /** What it takes part in. */
  readonly scenarios: readonly ScenarioName[];
  start(): Promise<Running>;
  /** Versions and configuration, in a line for the report. */
  about(): string;
}
