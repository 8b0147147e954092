import type { RequestHandler } from 'express';

/**
 * Lets pages of the listed origins read the answer (the Fetch standard's CORS protocol). No credentials: a
 * ticket is bought with the Authorization header alone. `*` lists nobody: edges take no ticket from such pages.
 */
export function cors(origins: readonly string[]): RequestHandler {
  return (request, response, next) => {
    const { origin } = request.headers;
    response.vary('Origin');
    if (origin !== undefined && origin !== '*' && origins.includes(origin)) {
      response.setHeader('access-control-allow-origin', origin);
      response.setHeader('access-control-expose-headers', 'Retry-After');
      if (request.method === 'OPTIONS') {
        response.setHeader('access-control-allow-methods', 'POST');
        response.setHeader('access-control-allow-headers', 'Authorization, Content-Type');
        response.setHeader('access-control-max-age', '7200');
      }
    }
    if (request.method === 'OPTIONS') response.status(204).end();
    else next();
  };
}
