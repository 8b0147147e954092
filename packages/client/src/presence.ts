import { PushfleetError } from './errors.ts';
import type { Subscription } from './subscription.ts';
import type { Request } from './transport.ts';

export type PresenceStatus = 'online' | 'away' | 'busy';

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

interface Came extends Member {
  readonly kind: 'entered' | 'updated';
}

/** `expired`: it went without saying so. */
interface Went extends Omit<Member, 'status'> {
  readonly kind: 'left' | 'expired';
  readonly status: 'offline';
}

export type PresenceChange = Came | Went;

/**
 * Who is on one topic. Entering, leaving and listing go over WebSocket alone, in the order of the calls; watching goes over
 * every transport.
 */
export interface Presence {
  readonly topic: string;
  /**
   * Enters, and enters again after each loss of the connection until `leave`. A second call replaces status and state. What
   * is refused leaves all as it was; after an error that is `retryable` the next connection enters.
   *
   * @throws PushfleetError with the fleet's code, or `unavailable` where no WebSocket can be had in time
   */
  enter(options?: EnterOptions): Promise<void>;
  /** Leaves, and enters no more. @throws PushfleetError as `enter` */
  leave(): Promise<void>;
  /** @throws PushfleetError as `enter` */
  list(): Promise<readonly Member[]>;
  /**
   * Hears of every change from now on.
   *
   * @param onError hears why it ended, where that was not the program: most often the token does not grant it
   * @returns a function that ends it
   */
  watch(handler: (change: PresenceChange) => void, onError?: (error: PushfleetError) => void): () => void;
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

/** One topic, from the first call until nothing is wanted there and every call has its answer. */
interface Stay {
  /** How the program wants to be there; undefined: not at all. */
  wanted?: EnterOptions | undefined;
  /** How it may be there by the connection that stands. */
  held?: EnterOptions | undefined;
  /** The end of the calls so far: one is under way at a time. */
  last: Promise<unknown>;
  asking: number;
}

type Turn<T> = (stay: Stay, ask: (message: object) => Promise<Said>) => Promise<T>;

/** Where this client is present, and brought back after each new connection. */
export class Rooms {
  readonly #o: RoomsOptions;
  readonly #stays = new Map<string, Stay>();

  constructor(options: RoomsOptions) {
    this.#o = options;
  }

  room(topic: string): Presence {
    return {
      topic,
      enter: (options) => this.#enter(topic, { ...options }),
      leave: () => this.#leave(topic),
      list: () => this.#turn(topic, list),
      watch: (handler, onError) => this.#watch(topic, handler, onError),
    };
  }

  #enter(topic: string, options: EnterOptions): Promise<void> {
    const entered = this.#turn(topic, enterAs(options));
    (this.#stays.get(topic) as Stay).wanted = options;
    return entered;
  }

  async #leave(topic: string): Promise<void> {
    const stay = this.#stays.get(topic);
    if (!stay?.wanted && !stay?.held) return;
    stay.wanted = undefined;
    await this.#turn(topic, leave);
  }

  #watch(
    topic: string,
    handler: (change: PresenceChange) => void,
    onError?: (error: PushfleetError) => void,
  ): () => void {
    const subscription = this.#o.subscribe(`$presence/${topic}`);
    subscription.on('message', (message) => handler(readMember(message.json())));
    if (onError) subscription.on('error', onError);
    return () => subscription.close();
  }

  /** Calls of one topic run one after the other. @param given the connection to ask, where not just any */
  async #turn<T>(topic: string, run: Turn<T>, given?: Request): Promise<T> {
    const stay: Stay = this.#stays.get(topic) ?? { last: Promise.resolve(), asking: 0 };
    this.#stays.set(topic, stay);
    const turn = stay.last.then(async () => {
      const request = given ?? (await this.#o.request());
      return run(stay, (message) => request({ type: 'presence', client: this.#o.client, topic, ...message }));
    });
    stay.last = turn.catch(() => {});
    stay.asking++;
    this.#want();
    try {
      return await turn;
    } finally {
      stay.asking--;
      if (!(stay.asking || stay.wanted || stay.held)) this.#stays.delete(topic);
      this.#want();
    }
  }

  #want(): void {
    this.#o.onWanted([...this.#stays.values()].some((stay) => stay.wanted || stay.asking));
  }

  /** Another connection stands: the former one's members have left with it, or will. */
  async enterAgain(request: Request): Promise<void> {
    for (const stay of this.#stays.values()) stay.held = undefined;
    for (const topic of [...this.#stays.keys()]) {
      try {
        await this.#turn(topic, enterWanted, request);
      } catch (thrown) {
        const error = thrown as PushfleetError;
        if (error.code === 'unreachable') return; // the next connection does it
        this.#o.onError(error);
      }
    }
  }
}

const enterAs =
  (options: EnterOptions): Turn<void> =>
  async (stay, ask) => {
    const { held } = stay;
    stay.held = options;
    try {
      await ask({ action: 'enter', status: 'online', ...options });
    } catch (thrown) {
      const error = thrown as PushfleetError;
      if (error.code === 'unreachable') stay.held = undefined;
      else if (!error.retryable) {
        stay.held = held;
        if (stay.wanted === options) stay.wanted = held;
      }
      throw error;
    }
  };

/** What was left meanwhile stays so, and what entered by this connection already is there. */
const enterWanted: Turn<void> = async (stay, ask) => {
  if (stay.wanted && !stay.held) await enterAs(stay.wanted)(stay, ask);
};

const leave: Turn<void> = async (stay, ask) => {
  await ask({ action: 'leave' });
  stay.held = undefined;
};

const list: Turn<Member[]> = async (_stay, ask) => {
  const members: Member[] = [];
  let next: unknown;
  do {
    const page = await ask({ action: 'list', next });
    members.push(...(page.members as Said[]).map(readMember<Member>));
    next = page.next;
  } while (next !== undefined);
  return members;
};

/** What the fleet says of a member or of its change, whose times are texts. */
const readMember = <M extends Member | PresenceChange>(said: Said): M =>
  ({ ...said, since: new Date(said.since as string), changed: new Date(said.changed as string) }) as M;

export const noSocket = (): PushfleetError =>
  new PushfleetError('unavailable', 'Presence needs a WebSocket, and there is none.');
