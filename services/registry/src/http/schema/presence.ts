import { presenceStatuses } from '@pushfleet/core';
import { answer, count, text, time } from './json-schema.ts';

/** A member of a topic, as every protocol shows it. */
export const member = answer(
  {
    subject: text('The claim sub of its token.'),
    client: text('Tells the clients of one subject apart.'),
    status: { enum: presenceStatuses },
    state: { description: 'State of its own: a JSON value, or a text where stateContentType is there.' },
    stateBase64: text('In its place, state that is neither.'),
    stateContentType: text('Of a state that is not JSON.'),
    since: time('When it entered.'),
    changed: time('When status or state last changed.'),
    revision: count('Grows with every change of this member.'),
  },
  'subject',
  'client',
  'status',
  'since',
  'changed',
  'revision',
);
