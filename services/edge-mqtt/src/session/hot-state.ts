import { ByteSink, ByteSource, Unreadable } from './bytes.ts';

// What a registry keeps of a session between one packet and the next: bytes in two fields, which are cut into pieces of
// a size that a field may have. A change of the format needs a field of another name: pods of both versions run at once.

/** A PUBLISH of QoS 1 or 2 that was sent. Its publication is in the log, at a place of the cursor's generation. */
export interface KeptSent {
  readonly qos: 1 | 2;
  readonly retain: boolean;
  readonly shard: number;
  readonly sequence: number;
  /** Where it went out with RETAIN: the log may have dropped it, and the retained publications have it. */
  readonly topic: string | undefined;
  readonly subscriptionIds: readonly number[];
}

/** By packet identifier, in the order of sending; undefined: its PUBREC came, in the order of those. */
export type KeptOut = Iterable<readonly [packetId: number, sent: KeptSent | undefined]>;

/** A QoS 2 PUBLISH that came: the id of its publication, or undefined once the log has that. */
export type KeptIn = Iterable<readonly [packetId: number, id: string | undefined]>;

/** What `SessionState.fields` has. */
export type Fields = Readonly<Record<string, Uint8Array>>;

/** Most bytes of one field; see SessionCommit.put_fields. */
const pieceBytes = 65_536;

const marks = { released: 0, qosBits: 3, retain: 4, ids: 8, sameShard: 16, all: 31 } as const;

export function encodeOut(out: KeptOut): Buffer {
  const sink = new ByteSink();
  let shard = 0;
  let sequence = 0;
  for (const [packetId, sent] of out) {
    sink.u16(packetId);
    if (sent === undefined) {
      sink.byte(marks.released);
      continue;
    }
    sink.byte(marksOf(sent, shard));
    if (sent.shard !== shard) sink.number(sent.shard);
    // Most follow each other in the log.
    sink.signed(sent.sequence - sequence);
    if (sent.retain) sink.text(sent.topic ?? '');
    if (sent.subscriptionIds.length > 0) sink.number(sent.subscriptionIds.length);
    for (const id of sent.subscriptionIds) sink.number(id);
    shard = sent.shard;
    sequence = sent.sequence;
  }
  return sink.bytes;
}

const marksOf = ({ qos, retain, subscriptionIds, ...sent }: KeptSent, shard: number): number =>
  qos |
  (retain ? marks.retain : 0) |
  (subscriptionIds.length > 0 ? marks.ids : 0) |
  (sent.shard === shard ? marks.sameShard : 0);

/** @throws Unreadable */
export function decodeOut(bytes: Uint8Array): Map<number, KeptSent | undefined> {
  const source = new ByteSource(bytes);
  const out = new Map<number, KeptSent | undefined>();
  let before = { shard: 0, sequence: 0 };
  while (!source.done) {
    const packetId = newId(source, out);
    const mark = source.byte();
    if (mark === marks.released) {
      out.set(packetId, undefined);
      continue;
    }
    const sent = readSent(source, mark, before);
    out.set(packetId, sent);
    before = sent;
  }
  return out;
}

function readSent(source: ByteSource, mark: number, before: Pick<KeptSent, 'shard' | 'sequence'>): KeptSent {
  const qos = mark & marks.qosBits;
  if ((qos !== 1 && qos !== 2) || mark > marks.all) throw new Unreadable('There is no such mark.');
  const shard = (mark & marks.sameShard) === 0 ? source.number() : before.shard;
  const sequence = before.sequence + source.signed();
  if (sequence < 1 || !Number.isSafeInteger(sequence)) throw new Unreadable('There is no such place.');
  const retain = (mark & marks.retain) !== 0;
  const topic = retain ? source.text() : undefined;
  const subscriptionIds: number[] = [];
  for (let left = (mark & marks.ids) === 0 ? 0 : source.number(); left > 0; left--) {
    subscriptionIds.push(source.number());
  }
  return { qos, retain, shard, sequence, topic, subscriptionIds };
}

export function encodeIn(all: KeptIn): Buffer {
  const sink = new ByteSink();
  for (const [packetId, id] of all) {
    sink.u16(packetId);
    sink.text(id ?? '');
  }
  return sink.bytes;
}

/** @throws Unreadable */
export function decodeIn(bytes: Uint8Array): Map<number, string | undefined> {
  const source = new ByteSource(bytes);
  const all = new Map<number, string | undefined>();
  while (!source.done) all.set(newId(source, all), source.text() || undefined);
  return all;
}

function newId(source: ByteSource, known: { has(id: number): boolean }): number {
  const packetId = source.u16();
  if (packetId === 0 || known.has(packetId)) throw new Unreadable('There is no such packet identifier.');
  return packetId;
}

// The first has the name of the field itself.
const pieceName = (field: string, piece: number): string => (piece === 0 ? field : `${field}.${piece}`);

/**
 * The bytes as fields.
 *
 * @param before how many pieces there were: those that are there no more are undefined, which removes them
 */
export function intoPieces(
  field: string,
  bytes: Buffer,
  before: number,
): { readonly fields: Record<string, Buffer | undefined>; readonly pieces: number } {
  const pieces = Math.ceil(bytes.length / pieceBytes);
  const fields: Record<string, Buffer | undefined> = {};
  for (let piece = 0; piece < Math.max(pieces, before); piece++) {
    const from = piece * pieceBytes;
    fields[pieceName(field, piece)] = piece < pieces ? bytes.subarray(from, from + pieceBytes) : undefined;
  }
  return { fields, pieces };
}

/** The bytes that `intoPieces` was given, and in how many pieces they lie. */
export function fromPieces(
  field: string,
  fields: Fields,
): { readonly bytes: Uint8Array; readonly pieces: number } {
  const found: Uint8Array[] = [];
  for (let piece = fields[field]; piece !== undefined; piece = fields[pieceName(field, found.length)]) {
    found.push(piece);
  }
  return {
    bytes: found.length === 1 ? (found[0] as Uint8Array) : Buffer.concat(found),
    pieces: found.length,
  };
}
