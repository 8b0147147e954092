import { pageDefault, pageMost } from '../request.ts';
import { revocation, revoking, ticket } from '../schema/access.ts';
import { answer, type Schema, text } from '../schema/json-schema.ts';
import { inPath, inQuery, operation } from './operation.ts';

const id: Schema = { type: 'string', pattern: '^[A-Za-z0-9_-]{43}$' };

const place = { Location: { type: 'string', format: 'uri-reference' } };

export const accessPaths: Schema = {
  '/v1/tickets': {
    post: operation({
      id: 'issueTicket',
      tag: 'tickets',
      summary: 'A ticket for the token of the request, for a page that cannot send one',
      answers: { 201: { description: 'It can be used once.', schema: ticket } },
      problems: ['rate_limited'],
    }),
  },
  '/v1/revocations': {
    get: operation({
      id: 'listRevocations',
      tag: 'revocations',
      summary: 'What is revoked, in the order of its ids',
      parameters: [
        inQuery('after', 'The "next" of the page before.', { ...id, pattern: `${id.pattern}|^$` }),
        inQuery('limit', 'Most entries of the page.', {
          type: 'integer',
          minimum: 1,
          maximum: pageMost,
          default: pageDefault,
        }),
      ],
      answers: {
        200: {
          description: 'A page of it.',
          schema: answer(
            {
              revocations: { type: 'array', items: revocation, maxItems: pageMost },
              next: text('For the next page; absent: this was the last.'),
            },
            'revocations',
          ),
        },
      },
    }),
    post: operation({
      id: 'revoke',
      tag: 'revocations',
      summary: 'Refuse tokens from now on',
      body: revoking,
      answers: {
        200: {
          description: 'One of the same claims was held, and is extended.',
          schema: revocation,
          headers: place,
        },
        201: {
          description: 'It holds.',
          schema: revocation,
          headers: place,
          links: { lift: { operationId: 'liftRevocation', parameters: { id: '$response.body#/id' } } },
        },
      },
      problems: ['conflict', 'storage_full'],
    }),
  },
  '/v1/revocations/{id}': {
    parameters: [inPath('id', 'The id of the revocation.', id)],
    delete: operation({
      id: 'liftRevocation',
      tag: 'revocations',
      summary: 'Let what is revoked go',
      answers: { 204: { description: 'It is lifted.' } },
      problems: ['not_found', 'conflict'],
    }),
  },
};
