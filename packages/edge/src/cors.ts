import type { IncomingHttpHeaders } from 'node:http';

/** Which pages may read this edge's answers: the Fetch standard's CORS protocol, and what it leaves open. */
export class Cors {
  readonly #origins: ReadonlySet<string>;

  /** Origins such as `https://app.example`; `*` stands for every other origin, without credentials. */
  constructor(origins: readonly string[]) {
    this.#origins = new Set(origins);
  }

  /** Headers for every answer. A credentialed answer names its origin, never `*`. */
  headers({ origin }: IncomingHttpHeaders): Record<string, string> {
    if (origin !== undefined && this.#origins.has(origin)) {
      return {
        vary: 'Origin',
        'access-control-allow-origin': origin,
        'access-control-allow-credentials': 'true',
      };
    }
    return this.#origins.has('*')
      ? { vary: 'Origin', 'access-control-allow-origin': '*' }
      : { vary: 'Origin' };
  }

  /** Headers for the answer to OPTIONS. */
  preflight(headers: IncomingHttpHeaders): Record<string, string> {
    const allowed = this.headers(headers);
    if (allowed['access-control-allow-origin'] === undefined) return allowed;
    return {
      ...allowed,
      'access-control-allow-methods': 'GET, POST, QUERY',
      'access-control-allow-headers':
        'Authorization, Cache-Control, Content-Type, If-None-Match, Last-Event-ID, Prefer',
      'access-control-max-age': '7200',
    };
  }

  /**
   * Whether a cookie or a ticket of this request may count. A browser adds the cookie by itself, whichever page
   * asks, and a ticket in a link would plant somebody else's cookie; so both need a page of this origin or a
   * listed one. Programs that are no browser send neither header.
   */
  trusts(headers: IncomingHttpHeaders): boolean {
    const { origin, host } = headers;
    if (origin !== undefined) {
      return this.#origins.has(origin) || origin === `https://${host}` || origin === `http://${host}`;
    }
    const site = headers['sec-fetch-site'];
    return site === undefined || site === 'same-origin' || site === 'none';
  }
}
