import { PushfleetError, quote } from '@pushfleet/core';
import { digestOfConnection } from '@pushfleet/runtime';
import type { RevocationEntry, Target, Terms } from './revocation.ts';

/** Longest subject or token id, in bytes of UTF-8. */
const mostBytes = 1_024;
/** A revocation may end ten years from now at the latest: a slip in a date must not become a record for good. */
const longestMs = 10 * 366 * 86_400_000;
// RFC 3339 section 5.6.
const rfc3339 = /^\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(\.\d+)?([Zz]|[+-]\d{2}:\d{2})$/;

const fields = ['subject', 'tokenId', 'connection', 'issuedBefore', 'until'];
/** More than clocks differ by, so that the last token of the longest life has expired everywhere. */
const slackMs = 60_000;

/**
 * Reads the body of POST /v1/revocations. Without `until` it holds until every token has expired that was good
 * when it was made.
 *
 * @param lifetimeMs the longest life of a token, in milliseconds
 * @throws PushfleetError `request_invalid`, naming the field and the rule
 */
export function parseTerms(body: unknown, now: number, lifetimeMs: number): Terms {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    throw invalid('The body is a JSON object such as {"subject": "alice"}.');
  }
  const unknown = Object.keys(body).find((name) => !fields.includes(name));
  if (unknown !== undefined) throw invalid(`${quote(unknown)} is no field; there are ${fields.join(', ')}.`);
  const given = body as Readonly<Record<string, unknown>>;
  const target = parseTarget(given);
  const issuedBefore = parseTime('issuedBefore', given.issuedBefore);
  const until = parseUntil(given.until, now) ?? now + lifetimeMs + slackMs;
  return { ...target, ...(issuedBefore === undefined ? {} : { issuedBefore }), until };
}

function parseTarget(given: Readonly<Record<string, unknown>>): Target {
  const subject = parseText('subject', given.subject);
  const tokenId = parseText('tokenId', given.tokenId);
  if (given.connection !== undefined) {
    if (subject === undefined && tokenId === undefined && given.issuedBefore === undefined)
      return { tokenDigest: parseConnection(given.connection) };
    throw invalid('"connection" says which token is meant; only "until" goes with it.');
  }
  if (subject === undefined && tokenId === undefined) {
    throw invalid(
      'Say what to revoke: "subject", "tokenId", both for one token of one subject, or "connection".',
    );
  }
  return { ...(subject === undefined ? {} : { subject }), ...(tokenId === undefined ? {} : { tokenId }) };
}

function parseConnection(value: unknown): string {
  const digest = typeof value === 'string' ? digestOfConnection(value) : undefined;
  if (digest !== undefined) return digest;
  const shown = typeof value === 'string' ? quote(value) : `a ${value === null ? 'null' : typeof value}`;
  throw invalid(
    `"connection" is an id as the header Pushfleet-Connection has it, "<16 characters>.<8 characters>", not ${shown}.`,
  );
}

function parseText(name: string, value: unknown): string | undefined {
  if (value === undefined) return undefined;
  if (
    typeof value !== 'string' ||
    value === '' ||
    !value.isWellFormed() ||
    Buffer.byteLength(value) > mostBytes
  ) {
    throw invalid(
      `"${name}" is the claim as it stands in the token: a string of 1 to ${mostBytes} bytes of UTF-8.`,
    );
  }
  return value;
}

function parseUntil(value: unknown, now: number): number | undefined {
  const until = parseTime('until', value);
  if (until === undefined) return undefined;
  if (until <= now) throw invalid('"until" is past; the revocation would have no effect.');
  if (until > now + longestMs) throw invalid('"until" is more than ten years away, the most allowed.');
  return until;
}

function parseTime(name: string, value: unknown): number | undefined {
  if (value === undefined) return undefined;
  const time = typeof value === 'string' && rfc3339.test(value) ? Date.parse(value) : Number.NaN;
  if (Number.isNaN(time)) {
    const shown = typeof value === 'string' ? quote(value) : `a ${value === null ? 'null' : typeof value}`;
    throw invalid(`"${name}" is a time such as "2030-01-31T12:00:00Z" (RFC 3339), not ${shown}.`);
  }
  return time;
}

const invalid = (message: string): PushfleetError => new PushfleetError('request_invalid', message);

/** A revocation as managers see it. */
export function toJson({ id, revocation }: RevocationEntry): object {
  const { subject, tokenId, tokenDigest, issuedBefore, until, createdAt, createdBy } = revocation;
  const time = (ms: number): string => new Date(ms).toISOString();
  return {
    id,
    subject,
    tokenId,
    tokenDigest,
    issuedBefore: issuedBefore === undefined ? undefined : time(issuedBefore),
    until: time(until),
    createdAt: time(createdAt),
    createdBy,
  };
}
