import type { IncomingMessage, ServerResponse } from 'node:http';

export interface PageAccess {
  /** Origins such as `https://app.example`; `*` stands for every other. */
  readonly origins: readonly string[];
  readonly methods: readonly string[];
  /** What a page may send; "*" is every header but Authorization, which has to be named beside it. */
  readonly headers: readonly string[];
  /** What a page may read of the answer. */
  readonly exposed: readonly string[];
}

/**
 * Lets pages of the listed origins call an API with the Authorization header, and read its answers (the Fetch
 * standard's CORS protocol). No credentials: what reads cookies or tickets has to judge the page itself.
 *
 * @returns sets the headers of an answer; whoever answers OPTIONS does so behind it
 */
export function pageAccess({ origins, methods, headers, exposed }: PageAccess) {
  return (request: IncomingMessage, response: ServerResponse): void => {
    const { origin } = request.headers;
    response.appendHeader('vary', 'Origin');
    const listed = origin !== undefined && origin !== '*' && origins.includes(origin);
    if (origin === undefined || !(listed || origins.includes('*'))) return;
    response.setHeader('access-control-allow-origin', listed ? origin : '*');
    response.setHeader('access-control-expose-headers', exposed.join(', '));
    if (request.method !== 'OPTIONS') return;
    response.setHeader('access-control-allow-methods', methods.join(', '));
    response.setHeader('access-control-allow-headers', headers.join(', '));
    response.setHeader('access-control-max-age', '7200');
  };
}
