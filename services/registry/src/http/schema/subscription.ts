import { expressionLength, selectionTypes } from '@pushfleet/delivery';
import { recordLimits } from '../../subscriptions/limits.ts';
import { answer, count, cursorForm, object, type Schema, text, time } from './json-schema.ts';

/** Longest life of the secret that a rotation replaces, in seconds. */
const longestOverlap = 7 * 86_400;
export const usualOverlap = 86_400;

export const filter = text('The topic filter: "+" is any one level, "#" at the end all levels below.', {
  minLength: 1,
  maxLength: 1_024,
  pattern: '^([^+#\\u0000/]*|\\+)(/([^+#\\u0000/]*|\\+))*(/#)?$|^#$',
  examples: ['orders/#'],
});

const url = text('Where to post. It must be https, unless the operator allows the address.', {
  maxLength: recordLimits.urlBytes,
  pattern: '^[Hh][Tt][Tt][Pp][Ss]?://[^\\s#]+$',
  examples: ['https://shop.example.com/hooks/orders'],
});

const format = {
  type: 'string',
  enum: ['binary', 'structured', 'verbatim'],
  description:
    'How a publication becomes a request: a CloudEvent in binary mode (payload as the body, attributes as headers) or in structured mode (one JSON document), or the payload alone.',
  default: 'binary',
};

const handshake = {
  type: 'string',
  enum: ['echo', 'cloudevents', 'none'],
  description:
    'How the receiver confirms that it wants to be called: by sending X-Hook-Secret back (REST Hooks), by answering OPTIONS (CloudEvents web hook), or not at all, which the operator must have allowed.',
  default: 'echo',
};

const signing = {
  type: 'string',
  enum: ['hmac', 'ed25519'],
  description: 'How deliveries are signed, in terms of Standard Webhooks: v1 (HMAC-SHA256) or v1a (Ed25519).',
  default: 'hmac',
};

const secret = text(
  'The key that signs, for hmac: "whsec_" and 24 to 64 bytes in base64. Absent: one is made.',
  {
    pattern: '^whsec_[A-Za-z0-9+/]{32,86}={0,2}$',
    writeOnly: true,
  },
);

/** What can be changed later. */
const settings = {
  filter,
  url,
  format,
  types: {
    type: 'array',
    items: { type: 'string', minLength: 1, maxLength: 256 },
    maxItems: selectionTypes,
    description: 'Only publications of one of these types. Absent or empty: any.',
    examples: [['order.created']],
  },
  expression: text('Only publications for which this is true: CEL over their attributes.', {
    maxLength: expressionLength,
    examples: ['attributes.region == "eu"'],
  }),
  rate: {
    type: 'integer',
    minimum: 1,
    maximum: recordLimits.ratePerSecond,
    description: "Most deliveries a second. Absent: the fleet's default.",
  },
  concurrency: {
    type: 'integer',
    minimum: 1,
    maximum: recordLimits.concurrency,
    description: "Most deliveries at the same time. Absent: the fleet's default.",
  },
  ordered: {
    type: 'boolean',
    description:
      'Deliver one after the other in the order of the log; one that fails holds up those behind it.',
    default: false,
  },
  timeout: {
    type: 'integer',
    minimum: 1,
    maximum: recordLimits.timeoutMs / 1_000,
    description: "Seconds after which an attempt is given up. Absent: the fleet's default.",
  },
  description: text('Words of its owner.', { maxLength: recordLimits.descriptionBytes }),
  expiresAt: time('When it ends by itself. Absent: never.'),
} satisfies Record<string, Schema>;

const lease = {
  type: 'integer',
  minimum: 1,
  maximum: recordLimits.leaseMs / 1_000,
  description: 'In place of expiresAt: seconds from now.',
};

const headerValue = {
  type: 'string',
  minLength: 1,
  maxLength: recordLimits.headersBytes,
  pattern: '^[\\t\\x20-\\x7e]*$',
};

const headers = (value: Schema): Schema => ({
  type: 'object',
  description:
    'Headers sent with every delivery. Their values are kept like secrets, and never shown. Not those that the delivery sets itself: webhook-*, pushfleet-*, ce-*, content-*, host and the like.',
  propertyNames: { pattern: "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$", maxLength: recordLimits.headerNameBytes },
  maxProperties: recordLimits.headers,
  additionalProperties: value,
});

const one = (description: string, ...names: string[]): Schema => ({
  description,
  oneOf: names.map((name) => ({ required: [name] })),
});

const once: Schema = {
  description: 'Give expiresAt or lease, not both.',
  not: { required: ['expiresAt', 'lease'] },
};

const keyless: Schema = {
  description: 'A secret is for hmac; the key of ed25519 is made here.',
  not: { required: ['signing', 'secret'], properties: { signing: { const: 'ed25519' } } },
};

/** Body of POST /v1/subscriptions. */
export const creation: Schema = {
  ...object({
    id: text('Names it. Absent: one is chosen.', { pattern: '^[A-Za-z0-9_-]{1,64}$' }),
    ...settings,
    event: { ...filter, description: 'The filter, as REST Hooks call it.' },
    target_url: { ...url, description: 'The url, as REST Hooks call it.' },
    headers: headers(headerValue),
    lease,
    handshake,
    signing,
    secret,
  }),
  allOf: [
    one('Give a filter, or an event in its place; not both.', 'filter', 'event'),
    one('Give a url, or a target_url in its place; not both.', 'url', 'target_url'),
    once,
    keyless,
  ],
};

const nullable = (schema: Schema): Schema => {
  const { default: _, ...rest } = schema;
  return { ...rest, type: [schema.type, 'null'] };
};

/** Body of PATCH: RFC 7396, so null removes what is optional. */
export const change: Schema = {
  ...object({
    ...settings,
    types: nullable(settings.types),
    expression: nullable(settings.expression),
    rate: nullable(settings.rate),
    concurrency: nullable(settings.concurrency),
    timeout: nullable(settings.timeout),
    description: nullable(settings.description),
    expiresAt: nullable(settings.expiresAt),
    headers: { ...headers({ ...headerValue, type: ['string', 'null'] }), type: ['object', 'null'] },
    lease,
  }),
  minProperties: 1,
  allOf: [once],
};

export const state = { type: 'string', enum: ['pending', 'active', 'paused', 'suspended'] };

const key = answer(
  {
    id: text('Its name.'),
    signing,
    publicKey: text('For ed25519: the key that receivers verify with, "whpk_" and base64.'),
    createdAt: time('When it was made.'),
    expiresAt: time('Until when it signs beside the newer one.'),
  },
  'id',
  'signing',
  'createdAt',
);

const shown = {
  id: text('Its name.'),
  ...settings,
  headerNames: { type: 'array', items: { type: 'string' }, description: 'The names of its headers.' },
  handshake: {
    type: 'string',
    enum: [...handshake.enum, 'notify'],
    description: 'How its receiver confirms: as it was created; notify: by taking a first NOTIFY.',
  },
  notify: {
    type: 'string',
    enum: ['gena', 'webdav'],
    description: 'Deliveries are NOTIFY requests of this form. Absent: they are posted.',
  },
  keys: { type: 'array', items: key, description: 'What signs, newest first.' },
  owner: text('The sub of the token that created it.'),
  state: {
    ...state,
    description:
      'pending: not confirmed by its receiver; active; paused by its owner, and queueing; suspended by the fleet.',
  },
  stateReason: text('Why it is in this state.'),
  stateSince: time('When it came into this state.'),
  failingSince: time('Since when no delivery has succeeded, where that has lasted for minutes.'),
  createdAt: time('When it was created.'),
  updatedAt: time('When it was last changed.'),
};

const always = 'id filter url format ordered headerNames handshake keys owner state'.split(' ');

/** A subscription as it is listed. */
export const subscription = answer(shown, ...always, 'stateSince', 'createdAt', 'updatedAt');

/** A subscription as it is read by itself. */
export const subscriptionHealth: Schema = answer(
  {
    ...shown,
    backlog: answer(
      {
        queued: count('Deliveries that wait for their turn.'),
        retrying: count('Deliveries that wait for their next attempt.'),
        dead: count('Deliveries that were given up.'),
      },
      'queued',
      'retrying',
      'dead',
    ),
  },
  ...always,
  'backlog',
);

/** A subscription with what verifies its deliveries, which is shown once. */
export const subscriptionSecret: Schema = answer(
  {
    ...shown,
    secret: text('For hmac: the key, "whsec_" and base64. It is not shown again.'),
    publicKey: text('For ed25519: the key that verifies, "whpk_" and base64.'),
  },
  ...always,
);

/** Body of POST …/rotate-secret. */
export const rotation: Schema = {
  ...object({
    overlap: {
      type: 'integer',
      minimum: 0,
      maximum: longestOverlap,
      default: usualOverlap,
      description: 'Seconds for which the old secret signs beside the new one.',
    },
    signing: {
      ...signing,
      default: undefined,
      description: 'Another way of signing. Absent: the same as before.',
    },
    secret,
  }),
  allOf: [keyless],
};

/** Body of POST …/resume. */
export const resumption = object({
  from: text(
    'For a suspended one, what it missed: "suspension" delivers all of it, "now" nothing, a cursor what was published behind it.',
    { pattern: `^(suspension|now|${cursorForm})$`, maxLength: 1_024, default: 'suspension' },
  ),
});
