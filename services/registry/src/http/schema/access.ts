import { answer, object, type Schema, text, time } from './json-schema.ts';

export const ticket = answer(
  {
    ticket: text('Good once, for the token of the request.'),
    expiresIn: { type: 'integer', minimum: 1, description: 'Seconds.' },
  },
  'ticket',
  'expiresIn',
);

const claim = (description: string): Schema => text(description, { minLength: 1, maxLength: 1_024 });

/** Body of POST /v1/revocations. */
export const revoking: Schema = {
  ...object({
    subject: claim('The claim sub of the tokens.'),
    tokenId: claim('The claim jti of the token.'),
    connection: text('In their place: a connection whose token is meant.', {
      pattern: '^[A-Za-z0-9_-]{16}\\.[A-Za-z0-9_-]{8}$',
    }),
    issuedBefore: time('Only tokens that were issued earlier.'),
    until: time('When it ends, at most ten years from now. Absent: after the longest life of a token.'),
  }),
  anyOf: [
    { required: ['subject'], not: { required: ['connection'] } },
    { required: ['tokenId'], not: { required: ['connection'] } },
    {
      required: ['connection'],
      not: { anyOf: [{ required: ['subject'] }, { required: ['tokenId'] }, { required: ['issuedBefore'] }] },
    },
  ],
};

export const revocation = answer(
  {
    id: text('Lifts it.'),
    subject: text('The claim sub of what is revoked.'),
    tokenId: text('The claim jti of what is revoked.'),
    tokenDigest: text('Of the token that is revoked: the ids of its connections begin so.'),
    issuedBefore: time('Only tokens issued earlier are revoked.'),
    until: time('When it ends.'),
    createdAt: time('When it was made.'),
    createdBy: text('The sub of who made it.'),
  },
  'id',
  'until',
  'createdAt',
  'createdBy',
);
