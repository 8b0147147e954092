import { type ErrorCode, meanings, PushfleetError } from '@pushfleet/core';

export interface Question {
  /** The URL of the front. */
  readonly front: string;
  readonly method: 'GET' | 'POST' | 'DELETE';
  /** Path and query below the front. */
  readonly path: string;
  readonly token: string;
  /** Sent as JSON. */
  readonly body?: object;
  /** How the answer is read, where that is not `JSON.parse`. */
  readonly parse?: (text: string) => unknown;
}

const patienceMs = 30_000;

/**
 * Asks a fleet's HTTP API and gives the JSON that it answers; undefined where it answers nothing.
 *
 * @throws PushfleetError as the fleet refuses; `unavailable` where none answers
 */
export async function askFront(question: Question): Promise<unknown> {
  const { front, method, path, token, body, parse = JSON.parse } = question;
  const url = new URL(path, front);
  const headers = {
    accept: 'application/json',
    authorization: `Bearer ${token}`,
    ...(body !== undefined && { 'content-type': 'application/json' }),
  };
  const signal = AbortSignal.timeout(patienceMs);
  try {
    const answer = await fetch(url, {
      ...{ method, headers, signal },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    if (!answer.ok) throw await refusal(answer);
    const text = await answer.text();
    return text === '' ? undefined : parse(text);
  } catch (thrown) {
    throw asPushfleetError(thrown, url);
  }
}

/** What an answer that is none of success means. */
export async function refusal(answer: Response): Promise<PushfleetError> {
  const text = await answer.text();
  const retryAfter = Number(answer.headers.get('retry-after') ?? Number.NaN);
  const options = retryAfter > 0 ? { retryAfterMs: retryAfter * 1_000 } : {};
  try {
    const { code, detail } = JSON.parse(text) as { code: ErrorCode; detail: string };
    if (code in meanings) return new PushfleetError(code, detail, options);
  } catch {
    // No problem document: something else answers there.
  }
  const code = answer.status >= 500 ? 'unavailable' : 'not_found';
  return new PushfleetError(
    code,
    `No fleet answers there: HTTP ${answer.status} ${answer.statusText}.`,
    options,
  );
}

/** What `fetch` throws, for people. */
export function asPushfleetError(thrown: unknown, url: URL): PushfleetError {
  if (thrown instanceof PushfleetError) return thrown;
  const cause =
    thrown instanceof Error && thrown.cause instanceof Error ? thrown.cause.message : String(thrown);
  return new PushfleetError('unavailable', `${url.origin} does not answer: ${cause}`, { cause: thrown });
}

/** As `JSON.parse`, but a number is an object that `JSON.stringify` writes as it came: long ones lose no digit. */
export function parseExact(text: string): unknown {
  const { rawJSON } = JSON as unknown as { rawJSON(source: string): unknown };
  const keep = (_: string, value: unknown, { source }: { source: string }) =>
    typeof value === 'number' ? rawJSON(source) : value;
  return JSON.parse(text, keep as Parameters<typeof JSON.parse>[1]);
}
