import type { Attributes, Draft, Publication, Topic, TraceContext } from '@pushfleet/core';
import { isExpiry, limits } from '@pushfleet/core';

/**
 * The header block of a stored publication, `NATS/1.0` and one `Name: value` a line. Values are text of their
 * own making escaped with `%XX`, so that no line end, leading space or `=` of a name can be mistaken.
 *
 *   Nats-Msg-Id       hash for deduplication          Nats-TTL     seconds, where it expires or its policy says so
 *   Pf-Id             the publisher's id              Pf-Expires   Unix time in milliseconds
 *   Pf-Source, Pf-Content-Type, Pf-Type, Pf-Origin    Pf-Retain    1
 *   Pf-Attribute      name=value, repeated, in order  Pf-Place     of a retained copy: where the log holds it
 *   traceparent, tracestate, baggage                  as W3C Trace Context and Baggage write them
 */
const preamble = 'NATS/1.0\r\n';

/** NATS refuses a TTL below one second. */
const shortestTtlSeconds = 1;
/**
 * NATS counts nanoseconds since 1970 in 64 bits: an expiry after the year 2262 wraps to the past, and the message
 * would be removed at once. A hundred years are longer than any log keeps one.
 */
const longestTtlSeconds = 100 * 366 * 86_400;

const unsafe = /[%\u0000-\u001f\u007f]|^ | $/g;
const unsafeName = /[%=\u0000-\u001f\u007f]|^ | $/g;

const escapeChar = (char: string): string =>
  `%${char.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`;
const escapeText = (text: string): string => text.replace(unsafe, escapeChar);
const escapeName = (text: string): string => text.replace(unsafeName, escapeChar);
const unescapeText = (text: string): string =>
  text.includes('%')
    ? text.replace(/%([0-9A-F]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))
    : text;

/** One header line. `value` must be free of line ends. */
export const headerLine = (name: string, value: string | number): string => `${name}: ${value}\r\n`;

/** The lines of a draft, without the deduplication id and without the empty line that ends a block. */
export function draftLines(draft: Draft): string {
  let lines = `Pf-Id: ${escapeText(draft.id)}\r\nPf-Source: ${escapeText(draft.source)}\r\nPf-Content-Type: ${escapeText(draft.contentType)}\r\n`;
  if (draft.type !== undefined) lines += headerLine('Pf-Type', escapeText(draft.type));
  for (const [name, value] of draft.attributes ?? []) {
    lines += headerLine('Pf-Attribute', `${escapeName(name)}=${escapeText(value)}`);
  }
  if (draft.origin !== undefined) lines += headerLine('Pf-Origin', escapeText(draft.origin));
  if (draft.retain === true) lines += headerLine('Pf-Retain', 1);
  if (draft.expiresAt !== undefined) lines += headerLine('Pf-Expires', draft.expiresAt);
  return draft.trace === undefined ? lines : lines + traceLines(draft.trace);
}

/** What a trace's headers may be here; anything else is left out, as the standards tell receivers to do. */
const traceParent = /^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$/;
const traceState = /^[!-~](?:[ -~]{0,510}[!-~])?$/;
const baggage = /^[!-~](?:[ -~]{0,8190}[!-~])?$/;

function traceLines(trace: TraceContext): string {
  if (!traceParent.test(trace.parent)) return '';
  let lines = headerLine('traceparent', trace.parent);
  if (trace.state !== undefined && traceState.test(trace.state)) {
    lines += headerLine('tracestate', trace.state);
  }
  if (trace.baggage !== undefined && baggage.test(trace.baggage)) {
    lines += headerLine('baggage', trace.baggage);
  }
  return lines;
}

/** Lets the broker remove the message after `ms` milliseconds. */
export function ttlLine(ms: number): string {
  const seconds = Math.min(Math.max(shortestTtlSeconds, Math.ceil(ms / 1_000)), longestTtlSeconds);
  return headerLine('Nats-TTL', seconds);
}

/** A header block as nats-core takes it: it only ever calls `encode`. */
export class Block {
  readonly #lines: string;

  constructor(lines: string) {
    this.#lines = lines;
  }

  encode(): Uint8Array {
    return Buffer.from(`${preamble}${this.#lines}\r\n`);
  }

  /** What `encode` will return, in bytes. */
  static size(lines: string): number {
    return preamble.length + Buffer.byteLength(lines) + 2;
  }
}

/** Where a stored message stands, as the broker says it beside the message's own headers. */
export interface StoredAt {
  readonly time: number;
  readonly shard: number;
  readonly sequence: number;
}

type Fields = {
  -readonly [name in keyof Publication]?: Publication[name] | undefined;
};

type Reader = (fields: Fields, value: string, attributes: [string, string][]) => void;

const readers: ReadonlyMap<string, Reader> = new Map<string, Reader>(
  Object.entries<Reader>({
    'Pf-Id': (fields, value) => {
      fields.id = unescapeText(value);
    },
    'Pf-Source': (fields, value) => {
      fields.source = unescapeText(value);
    },
    'Pf-Content-Type': (fields, value) => {
      fields.contentType = unescapeText(value);
    },
    'Pf-Type': (fields, value) => {
      fields.type = unescapeText(value);
    },
    'Pf-Origin': (fields, value) => {
      fields.origin = unescapeText(value);
    },
    'Pf-Retain': (fields) => {
      fields.retain = true;
    },
    'Pf-Expires': (fields, value) => {
      const expiresAt = Number(value);
      if (isExpiry(expiresAt)) fields.expiresAt = expiresAt;
    },
    'Pf-Attribute': (_, value, attributes) => {
      const split = value.indexOf('=');
      if (split > 0 && attributes.length < limits.attributes)
        attributes.push([unescapeText(value.slice(0, split)), unescapeText(value.slice(split + 1))]);
    },
    traceparent: (fields, value) => {
      if (traceParent.test(value)) fields.trace = { parent: value };
    },
    tracestate: (fields, value) => {
      if (fields.trace !== undefined && traceState.test(value))
        fields.trace = { ...fields.trace, state: value };
    },
    baggage: (fields, value) => {
      if (fields.trace !== undefined && baggage.test(value))
        fields.trace = { ...fields.trace, baggage: value };
    },
  }),
);

/**
 * The publication of a header block and a payload. Never throws: a line that cannot be read is passed over, and
 * a message that somebody wrote to the fleet's subjects by hand still is a publication, with a name of its place.
 */
export function decodePublication(
  block: Uint8Array,
  payload: Uint8Array,
  topic: Topic,
  at: StoredAt,
): Publication {
  const fields: Fields = {};
  const attributes: [string, string][] = [];
  for (const line of view(block).toString().split('\r\n')) {
    const colon = line.indexOf(': ');
    if (colon > 0) readers.get(line.slice(0, colon))?.(fields, line.slice(colon + 2), attributes);
  }
  const {
    id = `${at.shard}-${at.sequence}`,
    source = 'unknown',
    contentType = 'application/octet-stream',
  } = fields;
  const optional = attributes.length > 0 ? { attributes: attributes as Attributes } : {};
  return { ...fields, id, source, contentType, ...optional, topic, payload, ...at } as Publication;
}

function view(block: Uint8Array): Buffer {
  return Buffer.isBuffer(block) ? block : Buffer.from(block.buffer, block.byteOffset, block.byteLength);
}

/** The status of a message that is an answer of the broker itself (`NATS/1.0 503`), else 0. */
export function statusOf(block: Uint8Array): number {
  if (block.length < 12 || block[8] !== 0x20) return 0;
  return Number.parseInt(view(block).toString('latin1', 9, 12), 10) || 0;
}

/** The broker's own lines of a republished or directly read message, found without a map of all headers. */
export class BrokerLines {
  /** Latin-1, which is cheaper than UTF-8 and enough for what the broker writes. */
  readonly #text: string;

  constructor(block: Uint8Array) {
    this.#text = view(block).toString('latin1');
  }

  /** The last line of that name: the broker appends its own behind whatever a publisher sent. */
  get(name: string): string | undefined {
    const start = this.#text.lastIndexOf(`\r\n${name}: `);
    if (start < 0) return undefined;
    const from = start + name.length + 4;
    const to = this.#text.indexOf('\r\n', from);
    return to < 0 ? undefined : this.#text.slice(from, to);
  }

  /** As `get`, for a line that may hold more than ASCII. */
  text(name: string): string | undefined {
    const value = this.get(name);
    return value === undefined ? undefined : Buffer.from(value, 'latin1').toString();
  }

  number(name: string): number | undefined {
    const value = Number(this.get(name) ?? Number.NaN);
    return Number.isSafeInteger(value) ? value : undefined;
  }
}
