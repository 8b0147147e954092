/** A message on its way: which topic, by number, and the payload's text. */
export interface Outgoing {
  readonly topic: number;
  readonly payload: string;
}

/** A server under load. */
export interface Running {
  readonly host: string;
  readonly port: number;
  /** The whole HTTP request with which client `client` listens to topic `topic`. */
  request(client: number, topic: number): string;
  /** Hands messages over in order; resolves once the server has taken them all. */
  publish(messages: readonly Outgoing[]): Promise<void>;
  /** Processes that face the clients, and those behind them that a message passes on its way. */
  readonly pids: { readonly front: readonly number[]; readonly behind: readonly number[] };
  stop(): Promise<void>;
}

/** A kind of server that the benchmark knows how to start. */
export interface Target {
  readonly name: string;
  start(): Promise<Running>;
  /** Versions and configuration, in a line for the report. */
  about(): string;
}
