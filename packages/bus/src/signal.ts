/** Largest value that instances tell each other, in bytes of JSON. */
const signalBytes = 65_536;

/**
 * A value as it travels.
 *
 * @throws Error where it is no JSON or too large
 */
export function encodeSignal(value: unknown): Uint8Array {
  const json = JSON.stringify(value);
  if (json === undefined) throw new Error('a signal is a JSON value; this is none');
  const bytes = Buffer.from(json);
  if (bytes.length <= signalBytes) return bytes;
  throw new Error(`a signal has at most ${signalBytes} bytes of JSON; this one has ${bytes.length}`);
}

/** What somebody sent, in a list of its own as it may be `null`; nothing where it is too large or no JSON. */
export function decodeSignal(data: Uint8Array): [value: unknown] | undefined {
  if (data.length === 0 || data.length > signalBytes) return undefined;
  try {
    return [JSON.parse(Buffer.from(data.buffer, data.byteOffset, data.length).toString())];
  } catch {
    return undefined;
  }
}
