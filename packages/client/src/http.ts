import { errorOf, PushfleetError, unreachable } from './errors.ts';
import type { End } from './transport.ts';

/** What of a fleet's address and of the platform the HTTP requests need. */
export interface Http {
  /** Without a slash at its end. */
  readonly url: string;
  readonly fetch: typeof globalThis.fetch;
}

/** The token travels in a header, never in a URL. */
export const bearer = (token: string): Record<string, string> => ({ authorization: `Bearer ${token}` });

/**
 * How an answer refuses: in the words of the fleet where it is a problem (RFC 9457), and otherwise as broken, since then
 * somebody on the way answered.
 */
export async function refusalOf(response: Response): Promise<End> {
  const said = await problemIn(response);
  if (said === undefined) {
    return { error: unreachable(`Something on the way answered with ${response.status}.`), broken: true };
  }
  const retryAfterMs = waitOf(response.headers.get('retry-after'));
  const error = errorOf({ ...said, retryAfterMs });
  return { error, broken: false, retryMs: error.retryAfterMs };
}

async function problemIn(response: Response): Promise<Record<string, unknown> | undefined> {
  try {
    const said: unknown = JSON.parse(await response.text());
    const isProblem =
      typeof said === 'object' && said !== null && 'code' in said && typeof said.code === 'string';
    return isProblem ? (said as unknown as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

/** Retry-After in milliseconds: RFC 9110 section 10.2.3, seconds or a date. */
function waitOf(header: string | null): number | undefined {
  if (header === null) return undefined;
  const ms = /^\d+$/.test(header) ? Number(header) * 1_000 : Date.parse(header) - Date.now();
  return Number.isNaN(ms) ? undefined : Math.max(0, ms);
}

/** How a request ended that was not answered at all. */
export function brokenBy(cause: unknown): End {
  if (cause instanceof PushfleetError) return { error: cause, broken: false };
  return { error: unreachable('The connection broke.', cause), broken: true };
}
