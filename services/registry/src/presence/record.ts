import {
  bytesOfBase64,
  type Member,
  type PresenceKind,
  type PresenceStatus,
  type Topic,
} from '@pushfleet/core';

// A member of a topic's set is `<ref> NUL <since> <changed> <revision> <lease> <body>`. Its ref is `<subject> NUL
// <client>`; NUL and the byte behind it are escaped inside both, so that the order of bytes is the order of subject
// and client, and everything of one ref lies between `<ref> NUL` and `<ref> SOH`.

const special = /[\0\u0001]/g;
const escaped = /\u0001[\u0001\u0002]/g;

const escapeNul = (text: string): string =>
  text.replace(special, (one) => (one === '\0' ? '\u0001\u0001' : '\u0001\u0002'));
const unescapeNul = (text: string): string =>
  text.replace(escaped, (one) => (one[1] === '\u0001' ? '\0' : '\u0001'));

export const refOf = (subject: string, client: string): string =>
  `${escapeNul(subject)}\0${escapeNul(client)}`;

/** Where the refs of a subject begin. */
export const subjectRefs = (subject: string): string => escapeNul(subject);

/** What of a member is kept as it was given. */
export type Body = Pick<Member, 'status' | 'state' | 'stateContentType'>;

/** As text, since Redis' client reads text: the status, then the content type and the state in base64. */
export function encodeBody({ status, state, stateContentType }: Body): string {
  if (state.length === 0) return status;
  return JSON.stringify([status, stateContentType, Buffer.from(state).toString('base64')]);
}

function decodeBody(text: string): Body {
  if (!text.startsWith('['))
    return { status: text as PresenceStatus, state: new Uint8Array(0), stateContentType: '' };
  const [status, stateContentType, base64] = JSON.parse(text) as [PresenceStatus, string, string];
  return { status, state: bytesOfBase64(base64) ?? new Uint8Array(0), stateContentType };
}

/** Reads a member of a topic's set. */
export function readMember(text: string, expiresAt: string | null): Member {
  const subjectEnd = text.indexOf('\0');
  const clientEnd = text.indexOf('\0', subjectEnd + 1);
  const [since, changed, revision] = text
    .slice(clientEnd + 1)
    .split(' ', 3)
    .map(Number) as [number, number, number];
  return {
    subject: unescapeNul(text.slice(0, subjectEnd)),
    client: unescapeNul(text.slice(subjectEnd + 1, clientEnd)),
    ...decodeBody(behind(text, clientEnd + 1, 4)),
    ...{ since, changed, revision },
    ...(expiresAt !== null && { expiresAt: Number(expiresAt) }),
  };
}

/** A change that waits to be published. */
export interface Change {
  readonly kind: PresenceKind;
  readonly topic: Topic;
  readonly member: Member;
}

const kinds: Readonly<Record<string, PresenceKind>> = { e: 'entered', u: 'updated', l: 'left', x: 'expired' };

/** Reads `<kind><topic> NUL <a member of its set>`. */
export function readChange(text: string): Change {
  const topicEnd = text.indexOf('\0');
  return {
    kind: kinds[text[0] as string] as PresenceKind,
    topic: text.slice(1, topicEnd) as Topic,
    member: readMember(text.slice(topicEnd + 1), null),
  };
}

/** What stands behind so many blanks. */
function behind(text: string, from: number, blanks: number): string {
  let at = from;
  for (let n = 0; n < blanks; n++) at = text.indexOf(' ', at) + 1;
  return text.slice(at);
}

/** The last ref of a page, as text that travels in a URL. */
export const tokenOf = (member: Member): string =>
  Buffer.from(refOf(member.subject, member.client)).toString('base64url');

/** Undefined where it is no token. */
export function refOfToken(token: string): string | undefined {
  const bytes = Buffer.from(token, 'base64url');
  const ref = bytes.toString();
  return bytes.toString('base64url') === token && ref.split('\0').length === 2 ? ref : undefined;
}
