import { PushfleetError } from './errors.ts';
import type { Subscription } from './subscription.ts';
import type { Request } from './transport.ts';

export type PresenceStatus = 'online' | 'away' | 'busy' | 'offline';

export interface EnterOptions {
  /** `online` where absent. */
  readonly status?: PresenceStatus;
  /** Something small for the others to know, such as a name or a colour: any JSON value. */
  readonly state?: unknown;
}

/** Who is on a topic. One subject is there once for each of its clients, such as tabs. */
export interface Member {
  readonly subject: string;
  readonly client: string;
  readonly status: PresenceStatus;
  readonly state?: unknown;
  /** Since when it is there, and when it last changed. */
  readonly since: Date;
  readonly changed: Date;
}

export interface PresenceChange extends Member {
  readonly kind: 'entered' | 'updated' | 'left' | 'expired';
}

/** Who is on one topic. Entering, leaving and listing go over WebSocket alone; watching goes over every transport. */
export interface Presence {
  readonly topic: string;
  /**
   * Enters, and enters again after each loss of the connection until `leave`. A second call changes status and state.
   *
   * @throws PushfleetError with the fleet's code, or `unavailable` where no WebSocket can be had
   */
  enter(options?: EnterOptions): Promise<void>;
  leave(): Promise<void>;
  /** @throws PushfleetError as `enter` */
  list(): Promise<readonly Member[]>;
  /** Hears of every change from now on. @returns a function that ends it */
  watch(handler: (change: PresenceChange) => void): () => void;
}

type Said = Readonly<Record<string, unknown>>;

export interface RoomsOptions {
  /** A name for this client that it keeps over its connections. */
  readonly client: string;
  /** A connection that answers. @throws PushfleetError `unavailable` where there is none in time */
  request(): Promise<Request>;
  subscribe(filter: string): Subscription;
  /** Whether anybody is to be present somewhere. */
  onWanted(wanted: boolean): void;
  onError(error: PushfleetError): void;
}

/** Where this client is present, and brought back after each new connection. */
export class Rooms {
  readonly #o: RoomsOptions;
  readonly #entered = new Map<string, EnterOptions>();
  #asking = 0;

  constructor(options: RoomsOptions) {
    this.#o = options;
  }

  room(topic: string): Presence {
    return {
      topic,
      enter: (options = {}) => this.#enter(topic, options),
      leave: () => this.#leave(topic),
      list: () => this.#list(topic),
      watch: (handler) => this.#watch(topic, handler),
    };
  }

  async #enter(topic: string, options: EnterOptions): Promise<void> {
    const action = this.#entered.has(topic) ? 'update' : 'enter';
    await this.#ask({ action, topic, status: 'online', ...options });
    this.#entered.set(topic, options);
    this.#want();
  }

  async #leave(topic: string): Promise<void> {
    const was = this.#entered.delete(topic);
    try {
      if (was) await this.#ask({ action: 'leave', topic });
    } finally {
      this.#want();
    }
  }

  async #list(topic: string): Promise<readonly Member[]> {
    const members: Member[] = [];
    let next: unknown;
    do {
      const page = await this.#ask({ action: 'list', topic, ...(next !== undefined && { next }) });
      members.push(...(page.members as Said[]).map(memberOf));
      next = page.next;
    } while (next !== undefined);
    return members;
  }

  #watch(topic: string, handler: (change: PresenceChange) => void): () => void {
    const subscription = this.#o.subscribe(`$presence/${topic}`);
    subscription.on('message', (message) => {
      const said = message.json<Said>();
      handler({ ...memberOf(said), kind: said.kind as PresenceChange['kind'] });
    });
    return () => subscription.close();
  }

  async #ask(ask: Said): Promise<Said> {
    this.#asking++;
    this.#want();
    try {
      const request = await this.#o.request();
      return await request({ type: 'presence', client: this.#o.client, ...ask });
    } finally {
      this.#asking--;
      this.#want();
    }
  }

  #want(): void {
    this.#o.onWanted(this.#entered.size + this.#asking > 0);
  }

  /** Another connection stands: the former one's members have left with it, or will. */
  async enterAgain(request: Request): Promise<void> {
    for (const [topic, options] of [...this.#entered]) {
      const ask = {
        type: 'presence',
        client: this.#o.client,
        action: 'enter',
        topic,
        status: 'online',
        ...options,
      };
      try {
        await request(ask);
      } catch (thrown) {
        const error = thrown as PushfleetError;
        if (error.code === 'unreachable') return; // the next connection does it
        if (!error.retryable) this.#entered.delete(topic);
        this.#o.onError(error);
      }
    }
  }
}

function memberOf({ subject, client, status, state, since, changed }: Said): Member {
  return {
    subject: String(subject),
    client: String(client),
    status: status as PresenceStatus,
    ...(state !== undefined && { state }),
    since: new Date(since as string | number),
    changed: new Date(changed as string | number),
  };
}

export const noSocket = (): PushfleetError =>
  new PushfleetError('unavailable', 'Presence needs a WebSocket, and there is none.');
