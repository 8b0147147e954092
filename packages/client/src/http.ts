import { errorOf, PushfleetError } from './errors.ts';
import { broken, type End } from './transport.ts';

/** What of a fleet's address and of the platform the HTTP requests need. */
export interface Http {
  /** Without a slash at its end. */
  readonly url: string;
  readonly fetch: typeof globalThis.fetch;
}

/** The token travels in a header, never in a URL. */
export const bearer = (token: string): Record<string, string> => ({ authorization: `Bearer ${token}` });

export const formOf = (filters: readonly string[]): URLSearchParams =>
  new URLSearchParams(filters.map((filter) => ['topic', filter] as [string, string]));

/**
 * How an answer refuses: in the words of the fleet where it is a problem (RFC 9457), and otherwise as broken, since then
 * somebody on the way answered.
 */
export async function refusalOf(response: Response): Promise<End> {
  const said = await problemIn(response);
  if (said === undefined) {
    return broken(`Something on the way answered ${response.status}.`);
  }
  // The fleet says it in seconds; RFC 9110 section 10.2.3 knows dates as well.
  const seconds = Number(response.headers.get('retry-after'));
  const error = errorOf({ ...said, ...(seconds > 0 && { retryAfterMs: seconds * 1_000 }) });
  return { error, broken: false, retryMs: error.retryAfterMs };
}

async function problemIn(response: Response): Promise<{ readonly code: string } | undefined> {
  try {
    const said = (await response.json()) as { readonly code: string } | null;
    return typeof said?.code === 'string' ? said : undefined;
  } catch {
    return undefined;
  }
}

/** How a request ended that was not answered at all. */
export function brokenBy(cause: unknown): End {
  if (cause instanceof PushfleetError) return { error: cause, broken: false };
  return broken('The connection broke.', cause);
}
