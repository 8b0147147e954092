import { createHash, createHmac, pbkdf2Sync, randomBytes } from 'node:crypto';

const iterations = 4_096;
const sha256 = (bytes: Buffer): Buffer => createHash('sha256').update(bytes).digest();
const hmac = (key: Buffer, text: string): Buffer => createHmac('sha256', key).update(text).digest();

const xor = (one: Buffer, other: Buffer): Buffer =>
  Buffer.from(one.map((byte, at) => byte ^ (other[at] as number)));

/** A device with a password, and its half of SCRAM-SHA-256. */
export class ScramUser {
  readonly name: string;
  readonly #password = randomBytes(16).toString('hex');
  readonly #salt = randomBytes(16);
  readonly #salted = pbkdf2Sync(this.#password, this.#salt, iterations, 32, 'sha256');
  readonly #clientKey = hmac(this.#salted, 'Client Key');
  readonly #stored = sha256(this.#clientKey).toString('base64');
  readonly #server = hmac(this.#salted, 'Server Key').toString('base64');

  constructor(name: string) {
    this.name = name;
  }

  /** As the file of users has it. */
  get entry(): object {
    const verifier = `SCRAM-SHA-256$${iterations}:${this.#salt.toString('base64')}$${this.#stored}:${this.#server}`;
    return { user: this.name, verifier, grants: { subscribe: ['commands/{sub}'] } };
  }

  get secrets(): readonly string[] {
    return [this.#password, this.#stored, this.#server, this.#clientKey.toString('base64')];
  }

  /** The answer to what the server said first (RFC 5802 section 3). */
  proof(first: string, serverFirst: string, proof: 'right' | 'wrong'): string {
    const bare = `c=biws,r=${/r=([^,]+)/.exec(serverFirst)?.[1]}`;
    const key = proof === 'right' ? this.#clientKey : randomBytes(32);
    const signature = hmac(sha256(this.#clientKey), `${first},${serverFirst},${bare}`);
    return `${bare},p=${xor(key, signature).toString('base64')}`;
  }
}
