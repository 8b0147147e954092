import type { IncomingHttpHeaders } from 'node:http';
import { PushfleetError, quote } from '@pushfleet/core';
import { firstOf, type Parameters } from '@pushfleet/edge';
import type { EdgeConfig } from '../config.ts';
import { type Ask, parseAsk } from '../request.ts';
import { cursorOfTags } from './etag.ts';
import { preferredWait } from './prefer.ts';

/** What a poll asks for. */
export interface PollAsk extends Ask {
  /** Asked for, and without a cursor: who has a cursor had the retained ones with the first answer. */
  readonly retained: boolean;
  readonly waitMs: number;
  /** Most publications in the answer. */
  readonly count: number;
  /** What of `Prefer` was heeded, for `Preference-Applied`. */
  readonly applied: string | undefined;
}

export type PollLimits = Pick<EdgeConfig, 'filters' | 'waitMs' | 'mostWaitMs' | 'batchCount'>;

const known = ['topic', 'after', 'wait', 'count', 'retained', 'ticket'];

/**
 * Checks what one poll asks for; parameters of a body stand behind those of its URL, and headers before both.
 *
 * @throws PushfleetError `request_invalid`, `filter_invalid`, `cursor_invalid` or `too_many_filters`
 */
export function parsePoll(
  headers: IncomingHttpHeaders,
  sources: readonly Parameters[],
  limits: PollLimits,
): PollAsk {
  const after = cursorOfTags(headers['if-none-match']);
  const ask = parseAsk(sources, { known, filters: limits.filters, after });
  return {
    ...ask,
    retained: ask.retained && ask.after === undefined,
    ...parseWait(headers, firstOf(sources, 'wait'), limits),
    count: whole('count', firstOf(sources, 'count'), 1, limits.batchCount) ?? limits.batchCount,
  };
}

/** A preference for more than the most is heeded as far as it can be; a parameter that asks for it is an error. */
function parseWait(
  { prefer }: IncomingHttpHeaders,
  parameter: string | undefined,
  { waitMs, mostWaitMs }: PollLimits,
): Pick<PollAsk, 'waitMs' | 'applied'> {
  const most = Math.floor(mostWaitMs / 1_000);
  const given = whole('wait', parameter, 0, most);
  const preferred = preferredWait(prefer?.toString());
  if (preferred === undefined) {
    return { waitMs: given === undefined ? Math.min(waitMs, mostWaitMs) : given * 1_000, applied: undefined };
  }
  const seconds = Math.min(preferred, most);
  return { waitMs: seconds * 1_000, applied: `wait=${seconds}` };
}

function whole(name: string, text: string | undefined, least: number, most: number): number | undefined {
  if (text === undefined) return undefined;
  const value = Number(text);
  if (/^\d{1,15}$/.test(text) && value >= least && value <= most) return value;
  throw new PushfleetError(
    'request_invalid',
    `The parameter "${name}" is ${quote(text)}; it must be a whole number from ${least} to ${most}.`,
    { detail: { parameter: name, limit: most } },
  );
}
