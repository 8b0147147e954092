import { now } from '../load/payload.ts';

const headBytes = 12;

/** A payload that says when it was made, in microseconds of the machine's clock, and which of its topic it is, from 1. */
export function makeMessage(number: number, bytes: number): Buffer {
  const payload = Buffer.alloc(bytes, 'abcdefghijklmnopqrstuvwxyz');
  payload.writeDoubleBE(now(), 0);
  payload.writeUInt32BE(number, headBytes - 4);
  return payload;
}

export const madeAt = (bytes: Buffer, at: number): number => bytes.readDoubleBE(at);
export const numberOf = (bytes: Buffer, at: number): number => bytes.readUInt32BE(at + headBytes - 4);
