import type { PublishOptions } from './fleet.ts';
import { newId } from './id.ts';

/** A publication as it is sent, however often. */
export interface Draft {
  readonly topic: string;
  readonly id: string;
  /** JSON that stands in a message as it is; else a text; else bytes. */
  readonly payload: { readonly json: string } | { readonly text: string } | { readonly bytes: Uint8Array };
  readonly options: PublishOptions;
  /** About how much memory it takes. */
  readonly size: number;
}

/**
 * Takes the payload as it is at this moment.
 *
 * @throws TypeError where the payload cannot be written as JSON
 */
export function draftOf(topic: string, value: unknown, options: PublishOptions, now: number): Draft {
  const payload = payloadOf(value);
  const size =
    'bytes' in payload ? payload.bytes.length : 2 * ('text' in payload ? payload.text : payload.json).length;
  return { topic, id: options.id ?? newId(now), payload, options, size: size + 256 };
}

function payloadOf(value: unknown): Draft['payload'] {
  if (value === undefined) return { bytes: new Uint8Array(0) };
  if (typeof value === 'string') return { text: value };
  if (value instanceof Uint8Array) return { bytes: value.slice() };
  const json = JSON.stringify(value) as string | undefined;
  if (json === undefined) throw new TypeError('The payload cannot be written as JSON.');
  return { json };
}

/** The content type that the payload has by itself. */
export function contentTypeOf({ payload, options }: Draft): string {
  if (options.contentType !== undefined) return options.contentType;
  if ('json' in payload) return 'application/json';
  return 'text' in payload ? 'text/plain; charset=utf-8' : 'application/octet-stream';
}
