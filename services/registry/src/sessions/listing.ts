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
import { hasEnded, type Key, refOf } from './record.ts';

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
  for (let looked = 0; looked < mostLooked; ) {
    const count = Math.min(step, most - sessions.length);
    const names = await index.names(namespace, low, high, count);
    const keys = names.filter(({ id }) => id.startsWith(idPrefix));
    for (const held of await ledger.getMany(keys.map(refOf))) {
      if (held === undefined || hasEnded(held.record, now())) continue;
      if (subject === '' || held.record.subject === subject) sessions.push(held.record);
    }
    if (names.length < count) return { sessions, nextPageToken: '' };
    const last = memberOf(names.at(-1) as Key);
    if (sessions.length >= most) return { sessions, nextPageToken: writeToken(last) };
    low = `(${last}`;
    looked += names.length;
  }
  return { sessions, nextPageToken: writeToken(low.slice(1)) };
}

const memberOf = ({ protocol, id }: Key): string => `${protocol} ${id}`;

const writeToken = (after: string): string => Buffer.from(after).toString('base64url');

function readToken(token: string): string {
  const after = Buffer.from(token, 'base64url').toString();
  if (after !== '' && writeToken(after) === token) return after;
  throw invalid('"page_token" is what the page before gave; leave it out to begin.');
}

export const notFound = (): PushfleetError =>
  new PushfleetError('not_found', 'There is no such session (any more).');
