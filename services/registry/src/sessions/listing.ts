import { type Namespace, PushfleetError } from '@pushfleet/core';
import type {
  ListSessionsRequest,
  ListSessionsResponse,
  Session,
} from '@pushfleet/proto/pushfleet/registry/v1/sessions';
import { checkAtMost, invalid } from '../subscriptions/check.ts';
import { checkProtocol } from './check.ts';
import { sessionLimits } from './limits.ts';
import type { Parts } from './parts.ts';
import { type Held, hasEnded, type Key, refOf } from './record.ts';

/** Names that one page looks at: it may hold fewer sessions than asked for, even none, before the last. */
const mostLooked = 10_000;
const step = 1_000;

/** @throws PushfleetError `request_invalid`, `forbidden`, `unavailable` */
export async function list(
  { index, ledger, now }: Parts,
  namespace: Namespace,
  request: ListSessionsRequest,
): Promise<ListSessionsResponse> {
  const { protocol, subject, idPrefix, pageToken } = request;
  if (protocol !== '') checkProtocol(protocol);
  checkAtMost('page_size', request.pageSize, sessionLimits.pageMost);
  const most = request.pageSize || sessionLimits.page;
  const first = protocol === '' ? '-' : `[${protocol} ${idPrefix}`;
  const high =
    protocol === '' ? '+' : Buffer.concat([Buffer.from(`(${protocol} ${idPrefix}`), Buffer.of(0xff)]);
  let low = pageToken === '' ? first : `(${readToken(pageToken)}`;
  const sessions: Session[] = [];
  const isWanted = (held: Held | undefined): held is Held =>
    held !== undefined &&
    !hasEnded(held.record, now()) &&
    (subject === '' || held.record.subject === subject);
  for (let looked = 0; looked < mostLooked; ) {
    // Of few of these the subject may be the one that is asked for.
    const count = subject === '' && idPrefix === '' ? Math.min(step, most - sessions.length) : step;
    const names = await index.names(namespace, low, high, count);
    const keys = names.filter(({ id }) => id.startsWith(idPrefix));
    const found = (await ledger.getMany(keys.map(refOf))).filter(isWanted);
    const room = most - sessions.length;
    sessions.push(...found.slice(0, room).map(({ record }) => record));
    if (found.length > room) return { sessions, nextPageToken: tokenOf(sessions.at(-1)?.key as Key) };
    if (names.length < count) return { sessions, nextPageToken: '' };
    if (sessions.length >= most) return { sessions, nextPageToken: tokenOf(names.at(-1) as Key) };
    low = `(${memberOf(names.at(-1) as Key)}`;
    looked += names.length;
  }
  return { sessions, nextPageToken: writeToken(low.slice(1)) };
}

const memberOf = ({ protocol, id }: Key): string => `${protocol} ${id}`;

const tokenOf = (last: Key): string => writeToken(memberOf(last));

const writeToken = (after: string): string => Buffer.from(after).toString('base64url');

function readToken(token: string): string {
  const after = Buffer.from(token, 'base64url').toString();
  if (after !== '' && writeToken(after) === token) return after;
  throw invalid('"page_token" is what the page before gave; leave it out to begin.');
}

export const notFound = (): PushfleetError =>
  new PushfleetError('not_found', 'There is no such session (any more).');
