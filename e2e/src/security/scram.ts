import { createHash, createHmac, pbkdf2Sync, randomBytes } from 'node:crypto';
import type { Packet } from 'mqtt-packet';
import type { Site } from './site.ts';
import { briefOf, connectPacket, MqttVisit } from './ways-mqtt.ts';

const iterations = 4_096;
const sha256 = (bytes: Buffer): Buffer => createHash('sha256').update(bytes).digest();
const hmac = (key: Buffer, text: string): Buffer => createHmac('sha256', key).update(text).digest();

const xor = (one: Buffer, other: Buffer): Buffer =>
  Buffer.from(one.map((byte, at) => byte ^ (other[at] as number)));

/** A device with a password (RFC 5802), as MQTT 5 carries it. */
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

  /** Resolves to what the fleet answers to a proof of this password, or to one of nothing. */
  async logIn(site: Site, proof: 'right' | 'wrong'): Promise<string> {
    const visit = new MqttVisit(site);
    const nonce = randomBytes(12).toString('hex');
    const first = `n=${this.name},r=${nonce}`;
    const properties = (data: string) => ({
      authenticationMethod: 'SCRAM-SHA-256',
      authenticationData: Buffer.from(data),
    });
    const asked = await visit.ask(
      connectPacket(undefined, { properties: properties(`n,,${first}`) }),
      'auth',
    );
    const { authenticationData = '' } =
      (asked as { properties?: { authenticationData?: Buffer } }).properties ?? {};
    const serverFirst = String(authenticationData);
    const combined = /r=([^,]+)/.exec(serverFirst)?.[1];
    const bare = `c=biws,r=${combined}`;
    const key = proof === 'right' ? this.#clientKey : randomBytes(32);
    const signature = hmac(sha256(this.#clientKey), `${first},${serverFirst},${bare}`);
    const final = `${bare},p=${xor(key, signature).toString('base64')}`;
    const auth: Packet = { cmd: 'auth', reasonCode: 0x18, properties: properties(final) } as Packet;
    const brief = briefOf(await visit.ask(auth, 'connack'));
    if (proof === 'wrong') site.refused(visit.text());
    visit.close();
    return brief;
  }
}
