import { createHmac, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';

export type Refusal = 'unauthenticated' | 'token_expired' | 'token_revoked';

export interface HostileToken {
  readonly name: string;
  readonly token: string;
  readonly code: Refusal;
}

const issuer = 'https://id.example.com/realms/shop';
const audience = 'pushfleet';
const kid = 'the-key';

type Claims = Readonly<Record<string, unknown>>;

const pair = () => generateKeyPairSync('rsa', { modulusLength: 2_048 });
const encode = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');

/** RFC 7515, by hand: libraries do not make what is not allowed. */
function jws(header: object, claims: Claims, signed: (input: string) => string): string {
  const input = `${encode(header)}.${encode(claims)}`;
  return `${input}.${signed(input)}`;
}

const rs256 = (key: KeyObject) => (input: string) =>
  sign('sha256', Buffer.from(input), key).toString('base64url');

/** An issuer that the fleet trusts, and those who would like to be it. */
export class HostileIssuer {
  readonly #own = pair();
  readonly #stranger = pair();
  readonly #pem = String(this.#own.publicKey.export({ type: 'spki', format: 'pem' }));

  /** As PUSHFLEET_TOKEN_ISSUERS has it. */
  get declared(): object {
    const jwk = { ...this.#own.publicKey.export({ format: 'jwk' }), kid, alg: 'RS256' };
    return { issuer, audience, keys: [jwk] };
  }

  /** Claims that say all there is to say. */
  claims(more: Claims = {}): Claims {
    const now = Math.floor(Date.now() / 1_000);
    const pushfleet = { publish: ['#'], subscribe: ['#'], presence: ['#'], manage: true };
    return { iss: issuer, aud: audience, sub: 'mallory', iat: now, exp: now + 600, pushfleet, ...more };
  }

  good(more: Claims = {}): string {
    return jws({ alg: 'RS256', kid }, this.claims(more), rs256(this.#own.privateKey));
  }

  /** Tokens that no way in may take. */
  hostile(): readonly HostileToken[] {
    const now = Math.floor(Date.now() / 1_000);
    const forged = rs256(this.#stranger.privateKey);
    const own = rs256(this.#own.privateKey);
    const hs256 = (secret: string) => (input: string) =>
      createHmac('sha256', secret).update(input).digest('base64url');
    const [head, body, signature] = this.good().split('.') as [string, string, string];
    const strangerJwk = this.#stranger.publicKey.export({ format: 'jwk' });
    const bad = (name: string, token: string, code: Refusal = 'unauthenticated'): HostileToken => ({
      name,
      token,
      code,
    });
    const claim = (more: Claims) => jws({ alg: 'RS256', kid }, this.claims(more), own);
    return [
      bad('no token at all', 'opaque'),
      bad('two parts', `${head}.${body}`),
      bad('no signature', `${head}.${body}.`),
      bad(
        'other claims under the signature',
        `${head}.${encode(this.claims({ sub: 'owner' }))}.${signature}`,
      ),
      bad(
        'alg none',
        jws({ alg: 'none' }, this.claims(), () => ''),
      ),
      bad(
        'alg None, with a signature',
        jws({ alg: 'None', kid }, this.claims(), () => signature),
      ),
      bad('HS256 by the public key', jws({ alg: 'HS256', kid }, this.claims(), hs256(this.#pem))),
      bad('HS256 by an empty secret', jws({ alg: 'HS256' }, this.claims(), hs256(''))),
      bad('another key', jws({ alg: 'RS256', kid }, this.claims(), forged)),
      bad('an unknown kid', jws({ alg: 'RS256', kid: 'other' }, this.claims(), forged)),
      bad('a kid that is a path', jws({ alg: 'RS256', kid: '../../../dev/null' }, this.claims(), hs256(''))),
      bad('a key of its own in the header', jws({ alg: 'RS256', jwk: strangerJwk }, this.claims(), forged)),
      bad('a key set of its own', jws({ alg: 'RS256', jku: 'https://keys.example/' }, this.claims(), forged)),
      bad('an unknown crit', jws({ alg: 'RS256', kid, crit: ['exp2'], exp2: 1 }, this.claims(), own)),
      bad('another issuer', claim({ iss: 'https://id.example.com/realms/other' })),
      bad('no issuer', claim({ iss: undefined })),
      bad('another audience', claim({ aud: 'billing' })),
      bad('no audience', claim({ aud: undefined })),
      bad('no expiry', claim({ exp: undefined })),
      bad('not yet valid', claim({ nbf: now + 300 })),
      bad('a life of a century', claim({ exp: now + 100 * 365 * 86_400 })),
      bad('no subject', claim({ sub: undefined })),
      bad('expired', claim({ iat: now - 600, exp: now - 300 }), 'token_expired'),
      bad('revoked', this.good({ jti: revokedId }), 'token_revoked'),
    ];
  }
}

/** The id of a token that the suite revokes. */
export const revokedId = 'stolen';
