import { createHmac, hash, randomBytes, timingSafeEqual } from 'node:crypto';
import { PushfleetError } from '@pushfleet/core';
import type { Grant } from '@pushfleet/runtime';
import type { Exchange, Turn } from './exchange.ts';

// SCRAM-SHA-256 without channel binding, the server's half (RFC 5802, RFC 7677).

/** What a server keeps of a password: nothing that it could log in with elsewhere (RFC 5802 section 3). */
export interface Verifier {
  readonly iterations: number;
  readonly salt: Buffer;
  readonly storedKey: Buffer;
  readonly serverKey: Buffer;
}

export interface ScramUser {
  readonly name: string;
  readonly verifier: Verifier;
  readonly grant: Grant;
  /** Its entry. */
  readonly declared: string;
}

export interface ScramOptions {
  find(name: string): ScramUser | undefined;
  /** What a name that nobody has is challenged with: the same every time. */
  pretend(name: string): Verifier;
  /** Before a proof is looked at. @throws PushfleetError where too many of this name were wrong */
  require(name: string): void;
  onFailed(name: string): void;
  /** Before it is let in. @throws PushfleetError where it is not to be */
  onKnown(user: ScramUser): void;
  /** The server's part of the nonce. */
  readonly nonce?: () => string;
}

/** Longest message of a client, in bytes. */
export const scramBytes = 1_024;
/** Longest name of a user. */
export const nameBytes = 256;

const hmac = (key: Buffer, text: string): Buffer => createHmac('sha256', key).update(text).digest();

/** What the client said first, and what it was answered. */
interface Challenged {
  readonly name: string;
  readonly user: ScramUser | undefined;
  readonly verifier: Verifier;
  readonly header: string;
  readonly nonce: string;
  /** Both messages, as they are signed. */
  readonly said: string;
}

export class ScramExchange implements Exchange {
  readonly #o: ScramOptions;
  #challenged: Challenged | undefined;

  constructor(options: ScramOptions) {
    this.#o = options;
  }

  async next(data: Buffer | undefined): Promise<Turn> {
    const text = readText(data);
    return this.#challenged === undefined ? this.#challenge(text) : this.#verify(text, this.#challenged);
  }

  #challenge(text: string): Turn {
    const { header, bare, name, nonce: theirs } = readFirst(text);
    const nonce = theirs + (this.#o.nonce ?? makeNonce)();
    const user = this.#o.find(name);
    // Made for everybody, so that it takes no longer where nobody has the name.
    const pretended = this.#o.pretend(name);
    const verifier = user?.verifier ?? pretended;
    const { salt, iterations } = verifier;
    const answer = `r=${nonce},s=${salt.toString('base64')},i=${iterations}`;
    this.#challenged = { name, user, verifier, header, nonce, said: `${bare},${answer}` };
    return { kind: 'continue', data: Buffer.from(answer) };
  }

  /** RFC 5802 section 3: the proof is the client's key, hidden by a signature that only the stored key gives. */
  #verify(text: string, { name, user, verifier, header, nonce, said }: Challenged): Turn {
    const { unproved, proof } = readFinal(text, header, nonce);
    this.#o.require(name);
    const signed = `${said},${unproved}`;
    const signature = hmac(verifier.storedKey, signed);
    for (const [at, byte] of proof.entries()) signature[at] = (signature[at] as number) ^ byte;
    const right = timingSafeEqual(hash('sha256', signature, 'buffer'), verifier.storedKey);
    if (!right || user === undefined) {
      this.#o.onFailed(name);
      throw refused('The user name or the password is wrong.');
    }
    this.#o.onKnown(user);
    const told = `v=${hmac(verifier.serverKey, signed).toString('base64')}`;
    return { kind: 'known', grant: user.grant, data: Buffer.from(told) };
  }
}

const makeNonce = (): string => randomBytes(18).toString('base64');

const refused = (says: string): PushfleetError => new PushfleetError('unauthenticated', says);

/** ASCII alone: there SASLprep (RFC 4013) changes nothing, and everything that is signed is one character a byte. */
function readText(data: Buffer | undefined): string {
  const text = data?.toString('latin1') ?? '';
  if (text.length <= scramBytes && /^[\x20-\x7e]+$/.test(text)) return text;
  throw refused(`A message of SCRAM-SHA-256 is printable ASCII of at most ${scramBytes} bytes here.`);
}

// RFC 5802 section 7. `p=` asks for channel binding, which is not offered; an `m=` in front of the name is an extension
// that has to be understood.
const firstForm =
  /^([ny],(?:a=((?:[^,=]|=2C|=3D)+))?,)(n=((?:[^,=]|=2C|=3D)+),r=([\x21-\x2b\x2d-\x7e]+)(?:,.*)?)$/;

function readFirst(text: string) {
  const [, header = '', identity, bare = '', encoded = '', nonce = ''] = firstForm.exec(text) ?? [];
  if (header === '') {
    throw refused(
      'The first message is not one of SCRAM-SHA-256 without channel binding. RFC 5802 section 7',
    );
  }
  if (identity !== undefined && identity !== encoded) {
    throw refused('Nobody acts for another here: leave the authorization identity out.');
  }
  const name = encoded.replaceAll('=2C', ',').replaceAll('=3D', '=');
  if (name.length > nameBytes) throw refused(`A user name has at most ${nameBytes} bytes here.`);
  return { header, bare, name, nonce };
}

const proofForm = /^(.*),p=([A-Za-z0-9+/]{43}=)$/;

function readFinal(text: string, header: string, nonce: string): { unproved: string; proof: Buffer } {
  const [, unproved = '', proof = ''] = proofForm.exec(text) ?? [];
  const [binding, echoed, ...extensions] = unproved.split(',');
  const right =
    binding === `c=${Buffer.from(header).toString('base64')}` &&
    echoed === `r=${nonce}` &&
    extensions.every((one) => /^[a-ln-oq-zA-Z]=./.test(one));
  if (right) return { unproved, proof: Buffer.from(proof, 'base64') };
  throw refused('The last message does not follow from the first. RFC 5802 section 7');
}
