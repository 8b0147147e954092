import { until } from '@pushfleet/contract';
import { connectPacket, RawConnection } from './mqtt-raw.ts';
import type { Where } from './mqtt-session-client.ts';
import { type Made, payloadOf } from './mqtt-sessions-check.ts';

interface Character {
  readonly dies: boolean;
  /** Will Delay Interval and Session Expiry Interval, in seconds. */
  readonly delay: number;
  readonly expiry: number;
}

/** A session of expiry 0 ends with its connection, and its will's delay with it (section 3.1.3.2.2). */
const characters: readonly Character[] = [
  { dies: true, delay: 0, expiry: 0 },
  { dies: true, delay: 0, expiry: 3_600 },
  { dies: true, delay: 2, expiry: 3_600 },
  { dies: true, delay: 60, expiry: 0 },
  { dies: true, delay: 60, expiry: 1 },
  { dies: false, delay: 0, expiry: 0 },
  { dies: false, delay: 90, expiry: 3_600 },
];

/** Clients with wills: most of them die in a fault or right after it; one says goodbye before it, one comes back before its will is due. */
export class Mortals {
  readonly made: Made[] = [];
  readonly #where: Where;
  readonly #run: string;
  readonly #open = new Map<Made, { readonly character: Character; readonly connection: RawConnection }>();

  constructor(where: Where, run: string) {
    this.#where = where;
    this.#run = run;
  }

  /** One of each character comes; who is to end with its connection and to have no will says goodbye again. */
  async come(): Promise<void> {
    await Promise.all(
      characters.map(async (character) => {
        const publisher = `will ${this.made.length + 1} of ${this.#run}`;
        const topic = `${this.#run}/wills/${this.made.length + 1}`;
        const fate = character.dies ? 'owed' : 'never';
        const made: Made = { publisher, number: 1, topic, qos: 2, fate };
        this.made.push(made);
        const connection = await this.#enter(made, character);
        if (!character.dies && character.expiry === 0) await sayGoodbye(connection);
        else this.#open.set(made, { character, connection });
      }),
    );
  }

  /** Whoever is to die and still has a connection loses it now. */
  async die(): Promise<void> {
    const lives = [...this.#open];
    this.#open.clear();
    await Promise.all(
      lives.map(async ([made, { character, connection }]) => {
        connection.cut();
        if (!character.dies) await sayGoodbye(await this.#enter(made, character));
      }),
    );
  }

  close(): void {
    for (const { connection } of this.#open.values()) connection.cut();
  }

  /** Comes in, however often it is refused for now. */
  async #enter(made: Made, { delay, expiry }: Character): Promise<RawConnection> {
    const { address, token } = this.#where;
    const will = {
      ...{ topic: made.topic, payload: payloadOf(made), qos: made.qos },
      properties: { willDelayInterval: delay },
    };
    let accepted: RawConnection | undefined;
    await until(async () => {
      const connection = new RawConnection(address);
      connection.send(connectPacket({ clientId: made.publisher, token, expiry, will }));
      const { reasonCode = 0 } = await connection.first('connack');
      if (reasonCode === 0) accepted = connection;
      return accepted !== undefined;
    }, `${made.publisher} to be accepted`);
    return accepted as RawConnection;
  }
}

async function sayGoodbye(connection: RawConnection): Promise<void> {
  connection.send({ cmd: 'disconnect', reasonCode: 0 });
  await until(() => connection.closed, 'a client that said goodbye to be let go');
}
