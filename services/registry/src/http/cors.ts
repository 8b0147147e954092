import { pageAccess } from '@pushfleet/runtime';
import type { RequestHandler } from 'express';

/**
 * Lets pages of the listed origins buy tickets, with the Authorization header alone. `*` lists nobody: edges take no
 * ticket from such pages.
 */
export function cors(origins: readonly string[]): RequestHandler {
  const access = pageAccess({
    origins: origins.filter((origin) => origin !== '*'),
    methods: ['POST'],
    headers: ['Authorization', 'Content-Type'],
    exposed: ['Retry-After'],
  });
  return (request, response, next) => {
    access(request, response);
    if (request.method === 'OPTIONS') response.status(204).end();
    else next();
  };
}
