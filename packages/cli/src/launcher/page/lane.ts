import { connect, type Fleet, type Message, type TransportName } from '@pushfleet/client';
import { make } from './dom.ts';
import { Gate } from './gate.ts';

/** One way to the fleet. */
export interface Transport {
  readonly id: TransportName;
  readonly name: string;
  /** A name that fits a narrow screen. */
  readonly short: string;
  /** How it works, in a few words. */
  readonly about: string;
  /** Holds one of the six connections that a browser grants an origin over HTTP/1.1. */
  readonly scarce: boolean;
}

export const transports: readonly Transport[] = [
  {
    id: 'websocket',
    name: 'WebSocket',
    short: 'WebSocket',
    about: 'One connection, both ways.',
    scarce: false,
  },
  { id: 'sse', name: 'Server-sent events', short: 'SSE', about: 'One answer that goes on.', scarce: true },
  {
    id: 'poll',
    name: 'Long polling',
    short: 'Long polling',
    about: 'A request for each batch.',
    scarce: true,
  },
];

interface LaneOptions {
  readonly transport: Transport;
  readonly filter: string;
  readonly token: () => Promise<string>;
  readonly onMessage: (message: Message) => void;
  /** It is away from now on, or it is back. */
  readonly onAway: (away: boolean) => void;
}

type Hold = 'reader' | 'hidden';

/** A client of its own over one transport alone, with the column's head: its state and the button that cuts it. */
export class Lane {
  readonly transport: Transport;
  readonly head: HTMLElement;
  readonly #options: LaneOptions;
  readonly #gate = new Gate();
  readonly #holds = new Set<Hold>();
  readonly #fleet: Fleet;
  readonly #about = make('p', { class: 'about' });
  readonly #state = make('p', { class: 'state', role: 'status' });
  readonly #count = make('p', { class: 'quiet small count' });
  readonly #button = make('button', { type: 'button' });
  #received = 0;
  #gaps = 0;
  #refused = '';
  #trouble = '';

  constructor(options: LaneOptions) {
    this.#options = options;
    this.transport = options.transport;
    const { id, name } = this.transport;
    const { fetch, WebSocket } = this.#gate;
    const { origin } = location;
    this.#fleet = connect({ url: origin, token: options.token, transports: [id], fetch, WebSocket });
    this.#fleet.on('state', () => this.#changed());
    this.#fleet.on('error', (error) => {
      this.#trouble = error.message;
      this.#changed();
    });
    this.#fleet.on('gap', () => {
      this.#gaps++;
      this.#counted();
    });
    const subscription = this.#fleet.subscribe(options.filter, {}, (message) => {
      this.#received++;
      this.#counted();
      options.onMessage(message);
    });
    subscription.on('error', ({ message }) => {
      this.#refused = message;
      this.#changed();
    });
    // The handler above hears of it.
    subscription.ready.catch(() => {});
    this.#counted();
    this.#button.addEventListener('click', () => this.hold('reader', !this.#holds.has('reader')));
    this.head = make(
      'th',
      { scope: 'col', class: 'lane', 'data-lane': id },
      make('h3', {}, name),
      this.#about,
      this.#state,
      this.#count,
      this.#button,
    );
    this.#changed();
  }

  /** Cuts the connection and keeps it cut, or lets it come back. */
  hold(who: Hold, on: boolean): void {
    if (on) this.#holds.add(who);
    else this.#holds.delete(who);
    if (this.#holds.size > 0) {
      this.#gate.close();
    } else {
      this.#gate.open();
      this.#fleet.reconnect();
    }
    this.#changed();
  }

  #counted(): void {
    const gaps = this.#gaps === 0 ? '' : `, ${this.#gaps} ${this.#gaps === 1 ? 'gap' : 'gaps'}`;
    this.#count.textContent = `${this.#received} received${gaps}`;
  }

  #changed(): void {
    const { state } = this.#fleet;
    const held = this.#holds.size > 0;
    const connected = state === 'connected' && !held && this.#refused === '';
    if (connected || held) this.#trouble = '';
    this.#options.onAway(!connected);
    const [kind, words] = this.#words();
    this.#state.dataset.state = kind;
    this.#state.textContent = words;
    const trouble = this.#refused || this.#trouble;
    this.#about.textContent = trouble || this.transport.about;
    this.#about.classList.toggle('trouble', trouble !== '');
    const cut = this.#holds.has('reader');
    this.#button.textContent = cut ? 'Reconnect' : 'Cut';
    this.#button.setAttribute('aria-label', `${cut ? 'Reconnect' : 'Cut'} ${this.transport.name}`);
  }

  #words(): readonly [kind: 'open' | 'waiting' | 'closed', words: string] {
    if (this.#refused !== '') return ['closed', 'Refused'];
    if (this.#holds.has('reader')) return ['waiting', 'Cut by you'];
    if (this.#holds.has('hidden')) return ['waiting', 'Paused while hidden'];
    switch (this.#fleet.state) {
      case 'connected':
        return ['open', 'Connected'];
      case 'failed':
      case 'closed':
        return ['closed', 'Refused'];
      case 'waiting':
        return ['waiting', 'Trying again'];
      default:
        return ['waiting', 'Connecting'];
    }
  }
}
