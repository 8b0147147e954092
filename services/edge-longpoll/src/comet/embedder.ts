import type { IncomingHttpHeaders } from 'node:http';

/** Who shows a frame. */
export interface Embedder {
  /** The request's headers with the page's origin among them, by which it is trusted or not. */
  readonly headers: IncomingHttpHeaders;
  /** Its origin, where that is not this one. */
  readonly origin: string | undefined;
}

/**
 * The page around a frame. A navigation brings no `Origin`, so `Referer` tells it where the browser says that it is
 * not a page of this origin: no page can make a browser send another page's. One that withholds it stays unknown,
 * and is trusted as little as any foreign page.
 */
export function embedderOf(headers: IncomingHttpHeaders): Embedder {
  const site = headers['sec-fetch-site'];
  if (site === 'same-origin' || site === 'none') return { headers, origin: undefined };
  const origin = originOf(headers.origin ?? headers.referer);
  if (origin === undefined) return { headers, origin: undefined };
  const own = origin === `https://${headers.host}` || origin === `http://${headers.host}`;
  return { headers: { ...headers, origin }, origin: own ? undefined : origin };
}

function originOf(url = ''): string | undefined {
  const origin = URL.parse(url)?.origin;
  return origin === 'null' ? undefined : origin;
}
