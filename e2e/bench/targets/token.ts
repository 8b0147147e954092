import { createHmac } from 'node:crypto';

/** What the fleet under load trusts; it is gone when the benchmark ends. */
export const secret = 'a secret for the benchmark alone, thirty-two bytes or more';

const base64url = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
const header = base64url({ alg: 'HS256', typ: 'JWT' });

/** A token (RFC 7519) that is good for a day. */
export function token(subject: string, grants: object): string {
  const exp = Math.floor(Date.now() / 1000) + 86_400;
  const signed = `${header}.${base64url({ sub: subject, exp, pushfleet: grants })}`;
  return `${signed}.${createHmac('sha256', secret).update(signed).digest('base64url')}`;
}
