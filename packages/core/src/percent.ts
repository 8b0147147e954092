import { type ErrorCode, PushfleetError } from './error.ts';
import { quote } from './topic.ts';

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * Text of a request line or header, in which `%XX` stands for a byte and the bytes are UTF-8. What is not
 * escaped stands for itself, raw UTF-8 bytes too (node:http hands bytes over as Latin-1). Decodes once.
 *
 * @throws PushfleetError `code` where an escape is broken or the bytes are not UTF-8
 */
export function percentDecode(text: string, code: ErrorCode, what: string): string {
  if (/%(?![0-9a-fA-F]{2})/.test(text)) {
    throw new PushfleetError(
      code,
      `The ${what} ${quote(text)} has a "%" that begins no escape; write it "%25".`,
    );
  }
  const bytes = text.replace(/%([0-9a-fA-F]{2})/g, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
  try {
    return utf8.decode(Buffer.from(bytes, 'latin1'));
  } catch {
    throw new PushfleetError(
      code,
      `The ${what} ${quote(text)} is not UTF-8; encode it as UTF-8 and escape it with "%".`,
    );
  }
}

/**
 * Text as a header may carry it: CloudEvents HTTP binding 3.1.3.2 escapes the space, the double quote, the percent
 * sign and whatever is no printable ASCII.
 */
export function percentEncode(text: string): string {
  return text.replace(/[^\x21-\x7e]|["%]/gu, (character) =>
    Buffer.from(character).toString('hex').toUpperCase().replace(/../g, '%$&'),
  );
}
