// What the tests of authentication share; nothing else imports it.
import { createHash, createHmac, pbkdf2Sync, randomBytes } from 'node:crypto';
// @ts-expect-error this part of it has no types
import scram from 'kafkajs/src/broker/saslAuthenticator/scram.js';

export interface ScramUserOptions {
  readonly salt?: Buffer;
  readonly iterations?: number;
  readonly namespace?: string;
  readonly grants?: object;
}

/** An entry of the file of users. */
export function scramUser(user: string, password: string, o: ScramUserOptions = {}): object {
  const { salt = randomBytes(16), iterations = 4_096, grants = { publish: ['#'], subscribe: ['#'] } } = o;
  const salted = pbkdf2Sync(password, salt, iterations, 32, 'sha256');
  const hmac = (name: string): Buffer => createHmac('sha256', salted).update(name).digest();
  const stored = createHash('sha256').update(hmac('Client Key')).digest('base64');
  const verifier = `SCRAM-SHA-256$${iterations}:${salt.toString('base64')}$${stored}:${hmac('Server Key').toString('base64')}`;
  return { user, verifier, grants, ...(o.namespace !== undefined && { namespace: o.namespace }) };
}

interface Asking {
  readonly request: { encode(): Promise<Buffer> };
  readonly response: { parse(data: Buffer): Promise<object> };
}

type Ask = (asking: Asking) => Promise<object>;

interface Scram {
  authenticate(): Promise<void>;
}

/** The client of KafkaJS, below its own protocol. */
const { SCRAM, DIGESTS } = scram as {
  readonly SCRAM: new (
    sasl: { username: string; password: string },
    ...rest: [host: string, port: number, logger: object, ask: Ask, digest: object]
  ) => Scram;
  readonly DIGESTS: { readonly SHA256: object };
};

const quiet = { debug: () => {}, error: () => {} };

/** The client's half of SCRAM-SHA-256, turn by turn. */
export class ScramClient {
  /** The server has proved that it knows the password's verifier. */
  done = false;
  #error: unknown;
  readonly #scram: Scram;
  #said = Promise.withResolvers<Buffer>();
  #heard = Promise.withResolvers<Buffer>();

  constructor(username: string, password: string) {
    const ask: Ask = async ({ request, response }) => {
      // Kafka has the length in front.
      this.#said.resolve((await request.encode()).subarray(4));
      return response.parse(await this.#heard.promise);
    };
    this.#scram = new SCRAM({ username, password }, 'host', 0, quiet, ask, DIGESTS.SHA256);
  }

  /**
   * @param heard what the server said; undefined: nothing yet
   * @returns what is to be said; empty: nothing more
   */
  async next(heard: Buffer | undefined): Promise<Buffer> {
    if (heard === undefined) {
      void this.#scram.authenticate().then(
        () => {
          this.done = true;
          this.#said.resolve(Buffer.alloc(0));
        },
        (error: unknown) => {
          this.#error = error;
          this.#said.resolve(Buffer.alloc(0));
        },
      );
    } else {
      const before = this.#heard;
      this.#said = Promise.withResolvers();
      this.#heard = Promise.withResolvers();
      before.resolve(heard);
    }
    const said = await this.#said.promise;
    if (this.#error !== undefined) throw this.#error;
    return said;
  }
}
