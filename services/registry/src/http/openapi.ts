import { byMethod, type Handler } from '@pushfleet/runtime';
import type { Express, Request, Response } from 'express';
import { accessPaths } from './openapi/access.ts';
import { problem } from './openapi/operation.ts';
import { presencePaths } from './openapi/presence.ts';
import { subscriptionPaths } from './openapi/subscriptions.ts';

/**
 * The registry's HTTP API as OpenAPI 3.1 describes it. Bodies of requests are checked by the very schemas that stand
 * in it.
 */
export const document = {
  openapi: '3.1.0',
  info: {
    title: 'Pushfleet registry',
    version: '1',
    description:
      'Webhooks, presence, tickets and revocations. Refusals are problem details (RFC 9457) with a code of docs/errors.md.',
    license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
  },
  servers: [{ url: '/' }],
  security: [{ token: [] }],
  tags: [
    { name: 'subscriptions', description: 'Webhooks: publications posted to receivers.' },
    { name: 'presence', description: 'Who is on a topic.' },
    { name: 'tickets', description: 'For pages that cannot send a token.' },
    { name: 'revocations', description: 'Tokens that are refused before they expire.' },
  ],
  paths: {
    ...subscriptionPaths,
    ...presencePaths,
    ...accessPaths,
    '/v1/openapi.json': {
      get: {
        operationId: 'readDocument',
        summary: 'This document',
        security: [],
        responses: {
          200: {
            description: 'OpenAPI 3.1.',
            content: { 'application/json': { schema: { type: 'object' } } },
          },
        },
      },
    },
  },
  components: {
    securitySchemes: {
      token: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT', description: 'See docs/security.md.' },
    },
    schemas: { Problem: problem },
  },
} as const;

const text = JSON.stringify(document);

/** The document, for everybody: it says nothing that the sources do not. */
export function routeDocument(app: Express): void {
  const read: Handler<Request, Response> = (_, response) => {
    response.set('cache-control', 'max-age=300').type('application/json').send(text);
  };
  app.all('/v1/openapi.json', byMethod({ GET: read }));
}
