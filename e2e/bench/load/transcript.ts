import { serverMessages } from './frames.ts';
import { payloadsIn } from './payload.ts';

/** Every payload in what came off a client's socket, in order: data of events, or what stands in messages of a WebSocket. */
export function payloadsOf(raw: string): string[] {
  if (!raw.startsWith('HTTP/1.1 101 ')) return eventData(raw);
  const frames = Buffer.from(raw.slice(raw.indexOf('\r\n\r\n') + 4), 'latin1');
  return Array.from(serverMessages(frames), (message) => payloadsIn(message.toString())).flat();
}

/**
 * The data of every event in a whole response as it came off the socket: headers, then a body that may be
 * chunked (RFC 9112 section 7.1), in the event stream format of the HTML standard.
 */
function eventData(raw: string): string[] {
  const border = raw.indexOf('\r\n\r\n');
  if (border < 0) return [];
  const head = raw.slice(0, border).toLowerCase();
  const body = raw.slice(border + 4);
  const text = head.includes('transfer-encoding: chunked') ? dechunk(body) : body;
  return text
    .split('\n\n')
    .slice(0, -1) // what follows the last blank line is not dispatched yet
    .map(dataOf)
    .filter((data) => data !== undefined);
}

function dechunk(body: string): string {
  let text = '';
  for (let at = 0; at < body.length; ) {
    const line = body.indexOf('\r\n', at);
    const size = line < 0 ? Number.NaN : Number.parseInt(body.slice(at, line), 16);
    if (Number.isNaN(size)) return text;
    text += body.slice(line + 2, line + 2 + size);
    at = line + 2 + size + 2;
  }
  return text;
}

function dataOf(event: string): string | undefined {
  const lines = event.split('\n').filter((line) => line.startsWith('data:'));
  if (lines.length === 0) return undefined;
  return lines.map((line) => line.slice(5).replace(/^ /, '')).join('\n');
}

/** The id of the last whole event in the end of a response, chunked or not. */
export function lastEventId(tail: string): string | undefined {
  return Array.from(tail.matchAll(/\nid: ?([^\r\n]+)\n/g)).at(-1)?.[1];
}
