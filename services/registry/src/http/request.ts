import { PushfleetError, quote } from '@pushfleet/core';
import { decodeParameter, parseTarget, requireJson } from '@pushfleet/runtime';
import express, { type Request, type Response } from 'express';

const bodyBytes = 65_536;
const readJson = express.json({ limit: bodyBytes, inflate: false, strict: false, type: () => true });

/**
 * The JSON that a request brings.
 *
 * @param types what else than `application/json` it may be announced as
 * @throws PushfleetError `unsupported_media_type`, `payload_too_large`, `request_invalid`
 */
export async function readBody(
  request: Request,
  response: Response,
  types: readonly string[] = [],
): Promise<unknown> {
  requireJson(request, types);
  // The parser would read all of it before it says so.
  if (Number(request.get('content-length') ?? 0) > bodyBytes) throw tooLarge();
  await new Promise<void>((resolve, reject) => {
    readJson(request, response, (error?: unknown) => (error === undefined ? resolve() : reject(error)));
  });
  return request.body;
}

/** As `readBody`; a request without a body brings an empty object, whatever it is announced as. */
export async function readOptionalBody(request: Request, response: Response): Promise<unknown> {
  const { 'content-length': length = '0', 'transfer-encoding': chunked } = request.headers;
  return chunked === undefined && length === '0' ? {} : readBody(request, response);
}

/**
 * What a request to create a subscription asks for: its body, in which `?topic=` stands for `filter` and the header
 * X-Callback for `url`. With either there need be no body.
 *
 * @throws PushfleetError as `readBody`
 */
export async function readCreation(request: Request, response: Response): Promise<unknown> {
  const { topic } = readQuery(request, ['topic']);
  const url = request.get('x-callback');
  if (topic === undefined && url === undefined) return readBody(request, response);
  // node:http reads the bytes of a header as Latin-1: UTF-8 would become another host or path.
  if (url !== undefined && /[^\x20-\x7e]/.test(url)) {
    throw invalid('X-Callback is a URL in ASCII: escape the rest with "%", and a name as xn--….');
  }
  const body = await readOptionalBody(request, response);
  if (typeof body !== 'object' || body === null || Array.isArray(body)) return body;
  const { filter, event, url: given, target_url: target } = body as Readonly<Record<string, unknown>>;
  if (topic !== undefined && (filter ?? event) !== undefined) {
    throw invalid('Name what is subscribed to by "topic" or in the body, not by both.');
  }
  if (url !== undefined && (given ?? target) !== undefined) {
    throw invalid('Name who is called by X-Callback or in the body, not by both.');
  }
  return { ...body, ...(topic !== undefined && { filter: topic }), ...(url !== undefined && { url }) };
}

/**
 * The parameters of a request's query.
 *
 * @param names what there is; whatever else is given is refused, so that a misspelt one is not passed over
 * @throws PushfleetError `request_invalid`
 */
export function readQuery<const Name extends string>(
  request: Request,
  names: readonly Name[],
): Partial<Record<Name, string>> {
  const query: Partial<Record<Name, string>> = {};
  const decode = (text: string): string => decodeParameter(text, 'request_invalid', 'parameter');
  for (const pair of parseTarget(request.url).query.split('&')) {
    if (pair === '') continue;
    const [name = '', ...rest] = pair.split('=').map(decode);
    const value = rest.join('=');
    if (!names.includes(name as Name)) {
      throw invalid(`${quote(name)} is no parameter; there are ${names.join(', ') || 'none'}.`);
    }
    if (query[name as Name] !== undefined) throw invalid(`The parameter "${name}" is given twice.`);
    query[name as Name] = value;
  }
  return query;
}

/**
 * The header If-Match: undefined where any revision will do. A revision may stand without its quotes, which shells eat.
 *
 * @throws PushfleetError `request_invalid`
 */
export function readIfMatch(request: Request): ReadonlySet<string> | undefined {
  const text = request.get('if-match')?.trim();
  if (text === undefined || text === '*') return undefined;
  // RFC 9110 section 8.8.3; a weak one never matches here (section 13.1.1).
  const tags = text.split(/\s*,\s*/).map((tag) => (/^\d+$/.test(tag) ? `"${tag}"` : tag));
  if (tags.every((tag) => /^(W\/)?"[\x21\x23-\x7e\x80-\xff]*"$/.test(tag))) return new Set(tags);
  throw invalid('If-Match is an ETag as it was received, such as "42" with its quotes, or *.');
}

export const pageDefault = 100;
export const pageMost = 1_000;

/** The parameter `limit` of a list. @throws PushfleetError `request_invalid` */
export function readLimit(limit = String(pageDefault)): number {
  if (/^\d{1,4}$/.test(limit) && Number(limit) >= 1 && Number(limit) <= pageMost) return Number(limit);
  throw invalid(`"limit" is a whole number from 1 to ${pageMost}, not ${quote(limit)}.`);
}

/** What Express and its body parser throw, in the fleet's words. */
export function fromExpress(thrown: unknown): unknown {
  const { type, status } = thrown as { readonly type?: unknown; readonly status?: unknown };
  if (thrown instanceof PushfleetError || typeof status !== 'number' || status >= 500) return thrown;
  if (type === 'entity.too.large') {
    return tooLarge();
  }
  if (status === 415) {
    return new PushfleetError(
      'unsupported_media_type',
      'The body comes in UTF-8 and without a Content-Encoding.',
    );
  }
  return invalid('The request cannot be read: the body must be valid JSON.');
}

const tooLarge = (): PushfleetError =>
  new PushfleetError('payload_too_large', `The body is at most ${bodyBytes} bytes.`, {
    detail: { limit: bodyBytes },
  });

const invalid = (message: string): PushfleetError => new PushfleetError('request_invalid', message);
