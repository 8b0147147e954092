import type { IncomingMessage } from 'node:http';
import { PushfleetError, percentDecode, quote } from '@pushfleet/core';
import type { Submission } from '@pushfleet/intake';

type Headers = Pick<IncomingMessage, 'headersDistinct' | 'rawHeaders'>;

/** A submission as far as headers say it. */
export type HeaderDraft = Omit<Submission, 'topic' | 'payload'>;

const attributePrefix = 'pushfleet-attribute-';
const known = ['pushfleet-type', 'pushfleet-source', 'pushfleet-retain', 'pushfleet-ttl'];

/**
 * What headers say of a submission whose payload is the request's body, verbatim. Values of
 * `Pushfleet-*` headers and the id are percent-decoded, as in the HTTP binding of CloudEvents (section 3.1.3.2).
 *
 * @throws PushfleetError `request_invalid`, `id_invalid` or `attribute_invalid`
 */
export function readHeaders(request: Headers): HeaderDraft {
  refuseUnknown(request);
  return {
    id: idempotencyKey(single(request, 'idempotency-key')),
    contentType: single(request, 'content-type'),
    type: decoded(request, 'pushfleet-type'),
    source: decoded(request, 'pushfleet-source'),
    retain: retain(single(request, 'pushfleet-retain')),
    ttlMs: ttl(single(request, 'pushfleet-ttl')),
    attributes: attributes(request.rawHeaders),
  };
}

// A misspelt Pushfleet-Retain that is passed over loses what the publisher asked for.
function refuseUnknown(request: Headers): void {
  for (const name of Object.keys(request.headersDistinct)) {
    if (!name.startsWith('pushfleet-') || known.includes(name) || name.startsWith(attributePrefix)) continue;
    throw new PushfleetError(
      'request_invalid',
      `${quote(name)} is no header of this API; there are ${known.join(', ')} and ${attributePrefix}<name>.`,
    );
  }
}

function single({ headersDistinct }: Headers, name: string): string | undefined {
  const values = headersDistinct[name];
  if (values === undefined || values.length < 2) return values?.[0];
  throw new PushfleetError(
    'request_invalid',
    `The header ${name} is given ${values.length} times; give it once.`,
  );
}

function decoded(request: Headers, name: string): string | undefined {
  const value = single(request, name);
  return value === undefined ? undefined : percentDecode(value, 'attribute_invalid', name);
}

// The draft standard writes the key as a structured string, "…"; most clients leave the quotes out.
function idempotencyKey(value: string | undefined): string | undefined {
  if (value === undefined) return undefined;
  const inner = /^"((?:[^"\\]|\\["\\])*)"$/.exec(value)?.[1];
  return percentDecode(inner?.replace(/\\(["\\])/g, '$1') ?? value, 'id_invalid', 'id');
}

function retain(value: string | undefined): boolean | undefined {
  if (value === undefined) return undefined;
  if (value === 'true' || value === 'false') return value === 'true';
  throw new PushfleetError('request_invalid', `Pushfleet-Retain is "true" or "false", not ${quote(value)}.`);
}

function ttl(value: string | undefined): number | undefined {
  if (value === undefined) return undefined;
  if (/^\d{1,12}$/.test(value)) return Number(value) * 1_000;
  throw new PushfleetError(
    'request_invalid',
    `Pushfleet-Ttl is a whole number of seconds, not ${quote(value)}.`,
  );
}

function attributes(rawHeaders: readonly string[]): (readonly [string, string])[] {
  const found: (readonly [string, string])[] = [];
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = (rawHeaders[i] as string).toLowerCase();
    if (!name.startsWith(attributePrefix)) continue;
    found.push([
      name.slice(attributePrefix.length),
      percentDecode(rawHeaders[i + 1] as string, 'attribute_invalid', name),
    ]);
  }
  return found;
}
