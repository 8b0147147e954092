import { answer, count, cursorForm, object, type Schema, text, time } from './json-schema.ts';

const publication = answer(
  {
    id: text('The id that its publisher gave it.'),
    source: text('Its source.'),
    topic: text('Its topic.'),
    type: text('Its type.'),
    cursor: text('Its place in the log.'),
  },
  'id',
  'source',
  'topic',
  'cursor',
);

/** One call to a receiver. */
export const attempt = answer(
  {
    id: text('The webhook-id of the delivery: the same for all its attempts.'),
    why: { type: 'string', enum: ['publication', 'test', 'handshake'] },
    at: time('When the receiver was called.'),
    attempt: { type: 'integer', minimum: 1, description: '1 for the first.' },
    verdict: {
      type: 'string',
      enum: ['delivered', 'failed', 'throttled', 'rejected', 'gone'],
      description:
        'delivered; failed, tried again; throttled: the receiver asks for less; rejected: will never be taken; gone: the receiver wants nothing any more.',
    },
    status: { type: 'integer', description: "The receiver's HTTP status." },
    durationMs: { type: 'number', minimum: 0 },
    error: text('Why it was not taken.'),
    retryAfterMs: count('How long the receiver asked to wait.'),
    nextAt: time('When it is tried again.'),
    publication,
    response: answer(
      {
        headers: { type: 'object', additionalProperties: { type: 'string' } },
        body: text('Its beginning, as text.'),
        truncated: { type: 'boolean' },
      },
      'headers',
      'body',
      'truncated',
    ),
  },
  'id',
  'why',
  'at',
  'attempt',
  'verdict',
  'durationMs',
);

/** A delivery that was given up. */
export const deadLetter = answer(
  {
    letter: text('Names it among those of its subscription.'),
    id: text('The webhook-id of the delivery.'),
    at: time('When it was given up.'),
    reason: text('Why.'),
    attempts: count('How often it was tried.'),
    publication,
  },
  'letter',
  'id',
  'at',
  'reason',
  'attempts',
  'publication',
);

const cursor = (description: string): Schema =>
  text(description, { pattern: `^${cursorForm}$`, maxLength: 1_024 });

/** Body of POST …/replay. */
export const replay: Schema = {
  ...object({
    after: cursor('Begin behind this cursor.'),
    since: time('Begin with what was published at this time.'),
    until: cursor('End with this cursor. Absent: with what is published now.'),
  }),
  allOf: [
    {
      description: 'Say where to begin: after (a cursor) or since (a time); not both.',
      oneOf: [{ required: ['after'] }, { required: ['since'] }],
    },
  ],
};
