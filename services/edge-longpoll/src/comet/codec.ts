import { type Cursor, encodeCloudEvent } from '@pushfleet/core';
import type { Encoder } from '@pushfleet/hub';

// What Comet says: JSON objects whose `type` tells what they are, as over the WebSocket.

// Old browsers and proxies hold back the first bytes of a body until there are about so many.
const padding = ' '.repeat(2_048);

/** A publication as one line of JSON: a payload that is JSON itself may hold line breaks, where they are white space. */
export const publicationText: Encoder<string> = ({ publication, cursor, retained }) => {
  const event = encodeCloudEvent(publication, cursor).replaceAll(/[\r\n]+/g, ' ');
  return `{"type":"publication","event":${event}${retained ? ',"retained":true' : ''}}`;
};

/** From here on every matching publication is given. */
export const openText = (cursor: Cursor): string => JSON.stringify({ type: 'open', cursor });

/** Publications between the two can no longer be given. */
export const gapText = (from: Cursor, to: Cursor): string => JSON.stringify({ type: 'gap', from, to });

/** The place of a stream on which nothing came. */
export const placeText = (cursor: Cursor): string => JSON.stringify({ type: 'cursor', cursor });

/** Why the response ends. Without `retryMs` the same credentials will be refused again. */
export function closingText(code: string, detail: string, retryMs: number | undefined): string {
  return JSON.stringify({ type: 'closing', code, detail, reconnect: retryMs !== undefined, retryMs });
}

/** White space may stand before each line's object, so padding and heartbeats make no line of their own. */
export const ndjson = {
  greeting: padding,
  heartbeat: ' ',
  item: (text: string): string => `${text}\n`,
} as const;

/** How one response of /comet/frame is written. */
export interface FrameForm {
  /** Lets the scripts of this response run, and no other. */
  readonly nonce: string;
  /** The origin of a page that is not of this one: it is reached by `postMessage`. */
  readonly target: string | undefined;
}

/** The beginning of the document. */
export const frameGreeting = `<!doctype html><meta charset="utf-8"><title>Pushfleet</title>${padding}\n`;

export const frameHeartbeat = '\n';

/** One object as a script that hands it to the page around the frame; `literal` is of `scriptLiteral`'s making. */
export function frameItem({ nonce, target }: FrameForm, literal: string): string {
  const call =
    target === undefined
      ? `parent.pushfleet(JSON.parse(${literal}))`
      : `parent.postMessage(JSON.parse(${literal}),${scriptLiteral(target)})`;
  return `<script nonce="${nonce}">${call}</script>\n`;
}

// `<` could end the script or begin a comment that swallows its end (HTML 13.2.5.15 and on); U+2028 and U+2029 end a
// line of JavaScript before ES2019.
const unsafe: Readonly<Record<string, string>> = { '<': '\\u003c', '\u2028': '\\u2028', '\u2029': '\\u2029' };

/**
 * A text as a string literal for the inside of a script element. JSON travels as such a text and is parsed there:
 * written into the script as it is, a member `__proto__` would set the prototype, and two of them break the script.
 */
export const scriptLiteral = (text: string): string =>
  JSON.stringify(text).replaceAll(/[<\u2028\u2029]/g, (found) => unsafe[found] as string);
