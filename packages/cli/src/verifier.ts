import { createHmac, hash, pbkdf2Sync, randomBytes } from 'node:crypto';

export interface VerifierOptions {
  /** 16 bytes at random where it is not given. */
  readonly salt?: Buffer;
  /** 4,096 at least (RFC 7677 section 4). */
  readonly iterations: number;
}

/**
 * What a server keeps of a password for SCRAM-SHA-256, in the form of RFC 5803.
 *
 * @param password printable ASCII, of which SASLprep changes nothing
 */
export function verifierOf(
  password: string,
  { salt = randomBytes(16), iterations }: VerifierOptions,
): string {
  const salted = pbkdf2Sync(password, salt, iterations, 32, 'sha256');
  const keyed = (name: string): Buffer => createHmac('sha256', salted).update(name).digest();
  const storedKey = hash('sha256', keyed('Client Key'), 'base64');
  const serverKey = keyed('Server Key').toString('base64');
  return `SCRAM-SHA-256$${iterations}:${salt.toString('base64')}$${storedKey}:${serverKey}`;
}
