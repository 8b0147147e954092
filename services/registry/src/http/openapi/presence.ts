import { pageDefault, pageMost } from '../request.ts';
import { answer, count, type Schema, text } from '../schema/json-schema.ts';
import { member } from '../schema/presence.ts';
import { inQuery, operation } from './operation.ts';

export const presencePaths: Schema = {
  '/v1/presence': {
    get: operation({
      id: 'listPresence',
      tag: 'presence',
      summary: 'Who is on a topic, in the order of subject and client',
      description:
        'For a token whose presence grant covers the topic. Changes are published on "$presence/<topic>": to follow it, subscribe first, then list.',
      parameters: [
        { ...inQuery('topic', 'A topic; not a filter.', { type: 'string', minLength: 1 }), required: true },
        inQuery('subject', 'Only the clients of this subject.', { type: 'string' }),
        inQuery('after', 'The "next" of the page before.', { type: 'string' }),
        inQuery(
          'limit',
          'Most members of the page; it has fewer where it would be larger than about 256 KiB.',
          {
            type: 'integer',
            minimum: 1,
            maximum: pageMost,
            default: pageDefault,
          },
        ),
      ],
      answers: {
        200: {
          description: 'A page of them. Whoever is there all the while is on one page, once.',
          schema: answer(
            {
              members: { type: 'array', items: member, maxItems: pageMost },
              total: count('How many members the topic has at this moment, on all pages.'),
              next: text('For the next page; absent: this was the last.'),
            },
            'members',
            'total',
          ),
        },
      },
      problems: ['topic_invalid'],
    }),
  },
};
