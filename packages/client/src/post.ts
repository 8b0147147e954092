import { contentTypeOf, type Draft } from './draft.ts';
import { unreachable } from './errors.ts';
import type { Receipt } from './fleet.ts';
import { bearer, type Http, refusalOf } from './http.ts';
import type { Request } from './transport.ts';

/**
 * Publishes over HTTP. The topic stands in the query, since clients and proxies take `.`, `..` and empty levels out of a path.
 *
 * @throws PushfleetError
 */
export async function post(http: Http, draft: Draft, token: string, signal: AbortSignal): Promise<Receipt> {
  const { payload, options } = draft;
  const response = await http
    .fetch(`${http.url}/v1/topics?topic=${encodeURIComponent(draft.topic)}`, {
      method: 'POST',
      headers: { ...bearer(token), ...headersOf(draft) },
      body:
        'bytes' in payload
          ? (payload.bytes as Uint8Array<ArrayBuffer>)
          : 'text' in payload
            ? payload.text
            : payload.json,
      signal,
    })
    .catch((cause: unknown) => {
      throw unreachable('No answer came.', cause);
    });
  if (response.status !== 201) throw (await refusalOf(response)).error;
  const receipt = (await response.json().catch((cause: unknown) => {
    throw unreachable('The answer broke off.', cause);
  })) as Receipt;
  return { ...receipt, topic: draft.topic, id: options.id ?? receipt.id };
}

// Header values are percent-decoded by the fleet, Content-Type excepted.
function headersOf(draft: Draft): Record<string, string> {
  const { type, retain, ttl, attributes = {} } = draft.options;
  const headers: Record<string, string> = {
    'content-type': contentTypeOf(draft),
    'idempotency-key': encodeURIComponent(draft.id),
  };
  if (type !== undefined) headers['pushfleet-type'] = encodeURIComponent(type);
  if (retain) headers['pushfleet-retain'] = 'true';
  if (ttl !== undefined) headers['pushfleet-ttl'] = String(ttl);
  for (const [name, value] of Object.entries(attributes)) {
    headers[`pushfleet-attribute-${name}`] = encodeURIComponent(value);
  }
  return headers;
}

/** Publishes over a WebSocket. @throws PushfleetError */
export async function tell(request: Request, draft: Draft): Promise<Receipt> {
  const { topic, id, payload, options } = draft;
  const { type: event, retain, ttl, attributes } = options;
  const message = {
    ...{ type: 'publish', topic, publication: id, contentType: contentTypeOf(draft) },
    ...{ event, retain, ttl, attributes },
    ...('text' in payload && { text: payload.text }),
  };
  const json = 'json' in payload ? payload.json : undefined;
  const bytes = 'bytes' in payload ? payload.bytes : undefined;
  const { cursor, duplicate } = await request(message, json, bytes);
  return { id, topic, cursor: cursor as string, duplicate: duplicate === true };
}
