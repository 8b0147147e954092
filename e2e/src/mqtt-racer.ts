import assert from 'node:assert/strict';
import { until } from '@pushfleet/contract';
import type { Packet } from 'mqtt-packet';
import { ClientSession } from './mqtt-client-session.ts';
import { connectPacket, RawConnection } from './mqtt-raw.ts';
import { subscribePacket } from './mqtt-raw-client.ts';
import { type Made, payloadOf } from './mqtt-sessions-check.ts';

const receiveMaximum = 32;
/** How long one of several connections of a client may go on beside another. */
const contestMs = 10_000;
/** How much it publishes at once. */
const burst = 3;
const patienceMs = 30_000;

/** As the server said it. */
const takenOver = 0x8e;

/** A connection of the client, whose packets wait until it is known which of two is the later one. */
class Lane {
  readonly connection: RawConnection;
  /** Accepted, and not yet looked at. */
  readonly waiting: Packet[] = [];
  accepted: { readonly sessionPresent: boolean } | undefined;
  refusal: number | undefined;
  displaced = false;
  /** Something came behind its DISCONNECT. */
  late = false;
  #live: ((packet: Packet) => void) | undefined;

  constructor(address: string, onAccepted: (lane: Lane) => void) {
    this.connection = new RawConnection(address);
    this.connection.onPacket = (packet) => {
      if (this.displaced) this.late = true;
      else if (packet.cmd === 'connack') this.#answered(packet, onAccepted);
      else if (packet.cmd === 'disconnect') this.displaced = packet.reasonCode === takenOver;
      else if (this.#live === undefined) this.waiting.push(packet);
      else this.#live(packet);
    };
  }

  get open(): boolean {
    return !this.connection.closed;
  }

  /** Whatever waits comes first. */
  live(on: (packet: Packet) => void): void {
    for (const packet of this.waiting.splice(0)) on(packet);
    this.#live = on;
  }

  #answered(packet: Packet & { cmd: 'connack' }, onAccepted: (lane: Lane) => void): void {
    if ((packet.reasonCode ?? 0) >= 0x80) this.refusal = packet.reasonCode;
    else {
      this.accepted = packet;
      onAccepted(this);
    }
  }
}

export interface RacerOptions {
  readonly name: string;
  readonly token: string;
  /** What it is published to, and what it publishes to. */
  readonly to: string;
  readonly from: string;
}

/** The client: one session, and for moments several connections. */
export class Racer {
  readonly to: string;
  readonly made: Made[] = [];
  readonly session = new ClientSession({
    receiveMaximum,
    onAcknowledged: (payload) => this.#acknowledged(payload),
  });
  /** Connections that were told why they ended, and those that were not. */
  displaced = 0;
  silent = 0;
  readonly #o: RacerOptions;
  #owner!: Lane;

  constructor(o: RacerOptions) {
    this.#o = o;
    this.to = o.to;
  }

  async open(address: string): Promise<void> {
    const lane = this.#enter(address);
    await until(() => lane.accepted !== undefined, 'the client to be accepted');
    this.session.begin(false);
    lane.connection.send(subscribePacket([{ filter: this.to, qos: 2 }]));
    await lane.connection.first('suback');
    this.#own(lane);
  }

  publish(): void {
    for (let i = 0; i < burst; i++) {
      const made: Made = {
        ...{ publisher: this.#o.name, number: this.made.length + 1, topic: this.#o.from, qos: 2 },
        fate: 'possible',
      };
      this.made.push(made);
      this.#owner.connection.send(this.session.publish(made.topic, payloadOf(made), 2));
    }
  }

  /** Resolves when few of its publications are unacknowledged: all of them are sent again in each race. */
  async hasRoom(): Promise<void> {
    const room = () => this.session.outstanding <= 4 * burst || !this.#owner.open;
    await until(room, 'acknowledgements', patienceMs);
  }

  /** Connects to each pod at the same moment; resolves when one of all its connections is left. */
  async race(pods: readonly string[]): Promise<void> {
    const before = this.#owner;
    const lanes = pods.map((address) => this.#enter(address));
    const left = () => [before, ...lanes].filter(({ open }) => open);
    const settled = () =>
      left().length <= 1 && lanes.every(({ accepted, open }) => accepted !== undefined || !open);
    await until(settled, 'one owner', contestMs).catch((cause) => {
      const told = [before, ...lanes].map(
        ({ open, accepted, refusal }) =>
          `${open ? 'open' : 'closed'} ${accepted ? 'accepted' : (refusal ?? 'unanswered')}`,
      );
      throw new Error(`${left().length} connections of one client are open: ${told.join(', ')}`, { cause });
    });
    this.#count(before);
    const [winner] = left();
    const refused = lanes.map(({ refusal }) => refusal).filter((reason) => reason !== undefined);
    assert.ok(winner !== undefined, `nobody has the session; refused by ${refused.join(' ') || 'none'}`);
    assert.ok(winner !== before, 'a connection that was there before both has the session');
    for (const lane of lanes.filter((one) => one !== winner)) {
      this.#count(lane);
      // What it was sent, it was sent before the other one was.
      if (lane.accepted === undefined) continue;
      this.session.begin(lane.accepted.sessionPresent);
      lane.live((packet) => void this.session.take(packet));
    }
    this.session.begin(winner.accepted?.sessionPresent === true);
    this.#own(winner);
  }

  close(): void {
    this.#owner?.connection.cut();
  }

  #enter(address: string): Lane {
    // What is not acknowledged is sent again on both: the client does not know which of them will stay.
    const lane = new Lane(address, ({ connection }) => connection.send(...this.session.again()));
    const { name, token } = this.#o;
    lane.connection.send(connectPacket({ clientId: name, token, receiveMaximum }));
    return lane;
  }

  #own(lane: Lane): void {
    this.#owner = lane;
    lane.live((packet) => {
      const answer = this.session.take(packet);
      if (answer === undefined) return;
      lane.connection.send(answer.answer);
      answer.given();
    });
  }

  #count({ displaced, accepted, late }: Lane): void {
    if (late) this.session.violations.push('something came behind a DISCONNECT');
    if (displaced) this.displaced++;
    else if (accepted !== undefined) this.silent++;
  }

  #acknowledged(payload: string): void {
    const index = this.made.findIndex((made) => payloadOf(made) === payload);
    this.made[index] = { ...(this.made[index] as Made), fate: 'owed' };
  }
}
