import { setTimeout as sleep } from 'node:timers/promises';
import { handshake, Raw } from './raw.ts';
import type { Site } from './site.ts';
import { httpListeners } from './slow.ts';
import { mqttListeners } from './ways-mqtt.ts';

// Thousands who connect and say nothing, or too little.

interface Loiterer {
  readonly at: (site: Site) => string;
  readonly says?: string;
}

const webSocket = (path: string, protocol: string): string =>
  handshake(path, { 'Sec-WebSocket-Protocol': protocol });

const loiterers: readonly Loiterer[] = [
  ...Object.values(httpListeners).map((at) => ({ at })),
  ...mqttListeners.map((name) => ({ at: (site: Site) => site.at('edge-mqtt', name) })),
  { at: (site) => site.at('publish', 'grpc') },
  { at: (site) => site.at('edge-websocket'), says: webSocket('/ws', 'pushfleet.v1') },
  { at: (site) => site.at('edge-longpoll'), says: webSocket('/bayeux', 'bayeux') },
  { at: (site) => site.at('edge-mqtt', 'http'), says: webSocket('/mqtt', 'mqtt') },
];

/** So many at each listener; who is sent away comes back, until it is ended. */
export class Crowd {
  readonly #site: Site;
  readonly #of: number;
  readonly #standing = new Set<Raw>();
  #over = false;
  /** How often somebody was sent away. */
  sentAway = 0;

  private constructor(site: Site, of: number) {
    this.#site = site;
    this.#of = of;
  }

  static gather(site: Site, of: number): Crowd {
    const crowd = new Crowd(site, of);
    for (const loiterer of loiterers) void crowd.#fill(loiterer);
    return crowd;
  }

  /** Who is connected at this moment. */
  get size(): number {
    return [...this.#standing].filter(({ socket }) => socket.readyState === 'open').length;
  }

  /** How many there are to be. */
  get wanted(): number {
    return loiterers.length * this.#of;
  }

  end(): void {
    this.#over = true;
    for (const raw of this.#standing) raw.close();
  }

  async #fill({ at, says = '' }: Loiterer): Promise<void> {
    const standing = new Set<Raw>();
    while (!this.#over) {
      for (let missing = Math.min(100, this.#of - standing.size); missing > 0; missing--) {
        const raw = new Raw(at(this.#site));
        void raw.write(says);
        standing.add(raw);
        this.#standing.add(raw);
        raw.socket.once('close', () => {
          standing.delete(raw);
          this.#standing.delete(raw);
          if (!this.#over) this.sentAway++;
        });
      }
      await sleep(20);
    }
  }
}
