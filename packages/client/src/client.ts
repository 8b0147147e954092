import type { Clock } from './clock.ts';
import { type Draft, draftOf } from './draft.ts';
import { Emitter } from './emitter.ts';
import { isToken, PushfleetError } from './errors.ts';
import type {
  Fleet,
  FleetEvents,
  FleetState,
  Payload,
  PublishOptions,
  Receipt,
  TransportName,
} from './fleet.ts';
import { newId } from './id.ts';
import type { Ladder } from './ladder.ts';
import type { Limits } from './limits.ts';
import { Lines } from './lines.ts';
import type { Message } from './message.ts';
import { Outbox } from './outbox.ts';
import { tell } from './post.ts';
import { noSocket, type Presence, Rooms } from './presence.ts';
import { Reader, type SubscribeOptions, type Subscription } from './subscription.ts';
import type { Tokens } from './token.ts';
import type { Request, Transport } from './transport.ts';

/** How long presence waits for a WebSocket, in milliseconds. */
const socketMs = 15_000;
/** After a token function failed, until it is asked again before the end of the token that is held. */
const renewAgainMs = 5_000;

export interface ClientOptions {
  readonly clock: Clock;
  readonly random: () => number;
  readonly transports: Readonly<Partial<Record<TransportName, Transport>>>;
  readonly ladder: Ladder;
  readonly tokens: Tokens;
  readonly limits: Limits;
  /** Publishes over HTTP, once. @throws PushfleetError */
  post(draft: Draft, token: string): Promise<Receipt>;
  /** Hears that the network is back or the page is seen again. @returns a function that ends it */
  onWake(wake: () => void): () => void;
}

/** A client, whatever carries its bytes: all it does with the outside comes by its options. */
export class Client implements Fleet {
  readonly #o: ClientOptions;
  readonly #emitter = new Emitter<FleetEvents>();
  readonly #readers = new Set<Reader>();
  readonly #lines: Lines;
  readonly #outbox: Outbox;
  readonly #rooms: Rooms;
  readonly #stopWaking: () => void;
  readonly #sockets = new Set<(request: Request) => void>();
  #end: 'failed' | 'closed' | undefined;
  #error: PushfleetError | undefined;
  #told: { state: FleetState; transport: TransportName | undefined } = {
    state: 'idle',
    transport: undefined,
  };
  #cancelRenewal: () => void = () => {};

  constructor(options: ClientOptions) {
    const { clock, random, transports, ladder, tokens, limits } = options;
    this.#o = options;
    this.#lines = new Lines({
      ...{ clock, random, transports, ladder, tokens, openMs: limits.openMs },
      onChange: () => this.#tell(),
      onError: (error) => this.#emitter.emit('error', error),
      onFail: (error) => this.#fail(error),
      onLive: () => this.#onLive(),
      onToken: () => this.#armRenewal(),
    });
    this.#outbox = new Outbox({
      ...{ clock, random, count: limits.queueCount, bytes: limits.queueBytes, patienceMs: limits.patienceMs },
      send: (draft) => this.#send(draft),
    });
    this.#rooms = new Rooms({
      client: newId(clock.now()),
      request: () => this.#socket(),
      subscribe: (filter) => this.subscribe(filter),
      onWanted: (wanted) => this.#lines.keep(wanted),
      onError: (error) => this.#emitter.emit('error', error),
    });
    this.#stopWaking = options.onWake(() => this.#lines.wake(false));
  }

  get state(): FleetState {
    return this.#end ?? this.#lines.state;
  }

  get transport(): TransportName | undefined {
    return this.#lines.name;
  }

  on<K extends keyof FleetEvents>(event: K, handler: (value: FleetEvents[K]) => void): () => void {
    return this.#emitter.on(event, handler);
  }

  subscribe(
    filter: string,
    options: SubscribeOptions = {},
    handler?: (message: Message) => void,
  ): Subscription {
    this.#requireOpen();
    const { limits } = this.#o;
    const reader = new Reader({
      filter,
      buffer: options.buffer ?? limits.buffer,
      remembered: limits.remembered,
      onFull: (full) => this.#lines.leave(full),
      onRoom: (roomy, start) => this.#lines.enter(roomy, start),
      onGap: (subscription, gap) => this.#emitter.emit('gap', { ...gap, subscription }),
      onClose: (closed) => {
        this.#readers.delete(closed);
        this.#lines.leave(closed);
      },
    });
    if (handler !== undefined) reader.on('message', handler);
    this.#readers.add(reader);
    this.#lines.enter(reader, { after: options.after, retained: options.retained ?? false });
    return reader;
  }

  async publish(topic: string, payload: Payload, options: PublishOptions = {}): Promise<Receipt> {
    this.#requireOpen();
    return this.#outbox.add(draftOf(topic, payload, options, this.#o.clock.now()));
  }

  async #send(draft: Draft): Promise<Receipt> {
    const { request } = this.#lines;
    if (request !== undefined) return tell(request, draft);
    const { tokens } = this.#o;
    const token = await tokens.get();
    try {
      const receipt = await this.#o.post(draft, token);
      tokens.accepted();
      return receipt;
    } catch (thrown) {
      const error = thrown as PushfleetError;
      if (!isToken(error) || !tokens.refused(token)) throw error;
      throw new PushfleetError(error.code, error.message, { retryable: true, cause: error });
    }
  }

  presence(topic: string): Presence {
    this.#requireOpen();
    return this.#rooms.room(topic);
  }

  async #socket(): Promise<Request> {
    this.#requireOpen();
    const { request } = this.#lines;
    if (request !== undefined) return request;
    return new Promise((resolve, reject) => {
      const settle = (request?: Request) => {
        cancel();
        this.#sockets.delete(settle);
        if (request) resolve(request);
        else reject(noSocket());
      };
      const cancel = this.#o.clock.after(socketMs, settle);
      this.#sockets.add(settle);
    });
  }

  #onLive(): void {
    const { request } = this.#lines;
    if (request === undefined) return;
    for (const settle of this.#sockets) settle(request);
    void this.#rooms.enterAgain(request);
  }

  reconnect(): void {
    this.#lines.wake(true);
  }

  async close(deadlineMs = 5_000): Promise<void> {
    if (this.#end !== undefined) return;
    this.#end = 'closed';
    for (const reader of [...this.#readers]) reader.close();
    await new Promise<void>((resolve) => {
      const cancel = this.#o.clock.after(deadlineMs, resolve);
      void this.#outbox.drain().then(() => {
        cancel();
        resolve();
      });
    });
    this.#stop(new PushfleetError('closed', 'It was closed.'));
  }

  #fail(error: PushfleetError): void {
    if (this.#end !== undefined) return;
    this.#end = 'failed';
    this.#error = error;
    for (const reader of [...this.#readers]) reader.fail(error);
    this.#stop(error);
    this.#emitter.emit('error', error);
  }

  #stop(error: PushfleetError): void {
    this.#stopWaking();
    this.#cancelRenewal();
    this.#outbox.close(error);
    this.#lines.close();
    this.#tell();
  }

  /** @throws PushfleetError why it ended */
  #requireOpen(): void {
    if (this.#end === undefined) return;
    throw this.#error ?? new PushfleetError('closed', 'It was closed.');
  }

  #tell(): void {
    const { state, transport } = this;
    const told = this.#told;
    this.#told = { state, transport };
    if (told.transport !== transport) this.#emitter.emit('transport', transport);
    if (told.state !== state) this.#emitter.emit('state', state);
  }

  #armRenewal(): void {
    const { clock, tokens } = this.#o;
    this.#cancelRenewal();
    if (this.#end !== undefined || tokens.renewAt === Number.POSITIVE_INFINITY) return;
    this.#renewIn(Math.max(0, tokens.renewAt - clock.now()));
  }

  #renewIn(ms: number): void {
    const { clock, tokens } = this.#o;
    this.#cancelRenewal = clock.after(ms, () => {
      tokens.get().then(
        (token) => {
          this.#lines.renew(token);
          this.#armRenewal();
        },
        (error: PushfleetError) => {
          this.#emitter.emit('error', error);
          this.#renewIn(renewAgainMs);
        },
      );
    });
  }
}
