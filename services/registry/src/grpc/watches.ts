import type { ServerWritableStream } from '@grpc/grpc-js';
import { PushfleetError } from '@pushfleet/core';
import { type Log, toGrpc } from '@pushfleet/runtime';
import { statusOf } from './unary.ts';

/** What a stream of changes needs of the call it is written to. */
export interface Sink<Response> {
  /** False where the caller is behind; `onDrain` comes when it has caught up. */
  write(response: Response): boolean;
  onDrain(on: () => void): void;
  /** The caller is too far behind. */
  overflow(): void;
  /** There is nothing more to come. */
  end(error: PushfleetError): void;
}

type Call = ServerWritableStream<unknown, unknown>;

/** The streams of one service that have no end of their own. */
export class Watches {
  readonly #log: Log;
  readonly #stops = new Map<Call, () => void>();
  #draining = false;

  constructor(log: Log) {
    this.#log = log;
  }

  get size(): number {
    return this.#stops.size;
  }

  /** Streams to the call until it or this instance ends. `begin` returns how to stop; what it throws ends the call. */
  open<Request, Response>(
    call: ServerWritableStream<Request, Response>,
    begin: (sink: Sink<Response>) => () => void,
  ): void {
    const key = call as unknown as Call;
    if (this.#draining) {
      call.emit('error', toGrpc(draining()));
      return;
    }
    try {
      const stop = begin({
        write: (response) => call.write(response),
        onDrain: (on) => call.on('drain', on),
        overflow: () => this.#end(key, slow()),
        end: (error) => this.#end(key, error),
      });
      this.#stops.set(key, stop);
      call.once('cancelled', () => this.#forget(key));
    } catch (error) {
      call.emit('error', statusOf(error, this.#log));
    }
  }

  /** Ends all, and takes no more. */
  drain(): void {
    this.#draining = true;
    for (const call of this.#stops.keys()) this.#end(call, draining());
  }

  #end(call: Call, error: PushfleetError): void {
    if (this.#forget(call)) call.emit('error', toGrpc(error));
  }

  #forget(call: Call): boolean {
    this.#stops.get(call)?.();
    return this.#stops.delete(call);
  }
}

const draining = () => new PushfleetError('draining', 'This instance is shutting down; ask another.');
const slow = () =>
  new PushfleetError('rate_limited', 'Too many changes wait to be read. Watch again, and begin anew.');
