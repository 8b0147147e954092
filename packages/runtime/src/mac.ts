import { createHmac, type KeyObject, timingSafeEqual } from 'node:crypto';
import { decodeProtectedHeader, type JWTPayload, type JWTVerifyOptions, UnsecuredJWT } from 'jose';

/** Header parameters that change nothing about what is signed. */
const harmless: ReadonlySet<string> = new Set(['alg', 'typ', 'kid']);

/**
 * The claims of a token that is signed with this secret by HS256, checked as jose checks them. jose computes the MAC by
 * Web Crypto on another thread; that way there and back costs ten times the MAC itself, and more than all else that a
 * connection costs here.
 *
 * @returns undefined where the signature is another one, or the token anything but plain: jose has the word then
 * @throws as `jwtVerify` does where the claims are not accepted
 */
export function verifyMac(
  secret: KeyObject,
  token: string,
  options: JWTVerifyOptions,
): JWTPayload | undefined {
  const header = decodeProtectedHeader(token);
  const isPlain = header.alg === 'HS256' && Object.keys(header).every((name) => harmless.has(name));
  if (!isPlain || !isSigned(secret, token)) return undefined;
  const unsigned = Buffer.from(JSON.stringify({ ...header, alg: 'none' })).toString('base64url');
  const claims = token.slice(token.indexOf('.'), token.lastIndexOf('.') + 1);
  return UnsecuredJWT.decode(unsigned + claims, options).payload;
}

function isSigned(secret: KeyObject, token: string): boolean {
  const end = token.lastIndexOf('.');
  const given = Buffer.from(token.slice(end + 1));
  const mac = createHmac('sha256', secret).update(token.slice(0, end)).digest('base64url');
  const expected = Buffer.from(mac);
  return given.length === expected.length && timingSafeEqual(given, expected);
}
