import { connect, type MqttClient } from 'mqtt';
import type { MqttProgram, MqttPrograms } from './mqtt-programs.ts';
import { RawClient } from './mqtt-raw-client.ts';
import { type PahoSaid, persistent, type Where, watch } from './mqtt-session-client.ts';
import type { Arrival, Wanted, Witness } from './mqtt-sessions-check.ts';

/** A client that follows filters in a session, and comes back by itself. */
export interface Subscriber extends Witness {
  readonly connected: boolean;
  /** Counts as connected when it was given this on `readyTopic`, for those that do not say when they are. */
  await?(ready: string): void;
  /** What may never happen to a client. */
  readonly troubles: readonly string[];
  /** Loses its connection; where that is possible from outside. */
  cut?(): void;
  close(): void;
}

/** MQTT.js as its users have it: its own reconnecting, its own stores. */
export class JsSubscriber implements Subscriber {
  readonly name: string;
  readonly filters: readonly Wanted[];
  readonly arrivals: Arrival[] = [];
  readonly troubles: string[] = [];
  readonly #client: MqttClient;
  #subscribed = false;

  constructor(where: Where, name: string, filters: readonly Wanted[], version: 4 | 5) {
    this.name = name;
    this.filters = filters;
    this.#client = connect(`mqtt://${where.address}`, persistent(where, name, version));
    watch(this.#client, name, this.troubles);
    const wanted = Object.fromEntries(filters.map(({ filter, qos }) => [filter, { qos }]));
    this.#client.subscribe(wanted, (error) => {
      if (error) this.troubles.push(`${name}: ${error.message}`);
      else this.#subscribed = true;
    });
    this.#client.on('message', (topic, payload, { properties }) => {
      const id = properties?.userProperties?.id;
      this.arrivals.push({ topic, payload: payload.toString(), id: typeof id === 'string' ? id : undefined });
    });
  }

  get connected(): boolean {
    return this.#subscribed && this.#client.connected;
  }

  cut(): void {
    this.#client.stream.destroy();
  }

  close(): void {
    this.#client.end(true);
  }
}

/** What a program prints, read as it comes. */
abstract class ProgramSubscriber implements Subscriber {
  readonly name: string;
  readonly filters: readonly Wanted[];
  readonly #arrivals: Arrival[] = [];
  readonly #troubles: string[] = [];
  readonly #program: MqttProgram;
  protected state = false;
  #subscribed = false;
  #closed = false;

  constructor(program: MqttProgram, name: string, filters: readonly Wanted[]) {
    this.name = name;
    this.filters = filters;
    this.#program = program;
    void program.ended.then((code) => {
      if (!this.#closed) this.#troubles.push(`${name} ended with ${code}: ${program.text.slice(-500)}`);
    });
  }

  get arrivals(): readonly Arrival[] {
    this.#read();
    return this.#arrivals;
  }

  get connected(): boolean {
    this.#read();
    return this.#subscribed && this.state;
  }

  get troubles(): readonly string[] {
    this.#read();
    return this.#troubles;
  }

  close(): void {
    this.#closed = true;
  }

  protected abstract read(line: string): Heard | undefined;

  #read(): void {
    for (const line of this.#program.take()) {
      const heard = this.read(line);
      if (heard === undefined) continue;
      if (heard.arrival !== undefined) this.#arrivals.push(heard.arrival);
      if (heard.trouble !== undefined) this.#troubles.push(`${this.name}: ${heard.trouble}`);
      if (heard.subscribed) this.#subscribed = true;
    }
  }
}

interface Heard {
  readonly arrival?: Arrival;
  readonly trouble?: string;
  readonly subscribed?: boolean;
}

class PahoSubscriber extends ProgramSubscriber {
  #known = false;

  protected read(line: string): Heard | undefined {
    const said = JSON.parse(line) as Partial<Arrival> & PahoSaid;
    if (said.topic !== undefined) return { arrival: { ...(said as Arrival), id: said.id ?? undefined } };
    if (said.disconnected) this.state = false;
    if (said.connected === 'Success') {
      const trouble = this.#known && !said.present ? { trouble: 'its session is gone' } : {};
      this.#known = true;
      this.state = true;
      return trouble;
    }
    return said.subscribed ? { subscribed: true } : undefined;
  }
}

/** It subscribes whenever it is connected, and prints nothing before a message comes: one is retained for it. */
class MosquittoSubscriber extends ProgramSubscriber {
  #awaited = '0';

  await(ready: string): void {
    this.#awaited = ready;
    this.state = false;
  }

  protected read(line: string): Heard | undefined {
    const [, topic = '', properties = '', payload = ''] = /^> ([^|]*)\|([^|]*)\|(.*)$/.exec(line) ?? [];
    if (topic === '') return undefined;
    if (!topic.startsWith('ready/')) {
      return { arrival: { topic, payload, id: /(?:^| )id:(\S*)/.exec(properties)?.[1] } };
    }
    if (payload === this.#awaited) this.state = true;
    return { subscribed: true };
  }
}

/** Where a publication is retained for those that say nothing before they are given one. */
export const readyTopic = (run: string): string => `ready/${run}`;

const kinds = [
  'MQTT.js',
  'raw',
  'MQTT.js',
  'Paho',
  'MQTT.js',
  'mosquitto_sub',
  'MQTT.js 3.1.1',
  'raw',
] as const;

/** A client of each kind in turn. */
export function subscriber(
  where: Where,
  programs: MqttPrograms,
  index: number,
  run: string,
  filters: readonly Wanted[],
): Subscriber | RawClient {
  const kind = kinds[index % kinds.length] as (typeof kinds)[number];
  const name = `${kind} ${index} of ${run}`;
  const { token } = where;
  switch (kind) {
    case 'raw':
      return new RawClient({ ...where, name, filters });
    case 'Paho':
      return new PahoSubscriber(programs.pahoSession(token, name, filters), name, filters);
    case 'mosquitto_sub': {
      const same = filters.map(({ filter }) => ({ filter, qos: 1 as const }));
      const all = [readyTopic(run), ...filters.map(({ filter }) => filter)];
      return new MosquittoSubscriber(programs.mosquittoSession(token, name, all), name, same);
    }
    default:
      return new JsSubscriber(where, name, filters, kind === 'MQTT.js' ? 5 : 4);
  }
}
