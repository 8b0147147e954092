import { edgeFields, fleetFields, presenceFields } from '@pushfleet/edge';
import { intakeFields } from '@pushfleet/intake';
import { type Config, field } from '@pushfleet/runtime';

export const title = 'edge-websocket';

// A handshake has no body, and its target is bounded as a part of its head.
const { urlBytes, bodyBytes, ...edge } = edgeFields({
  env: 'EDGE_WEBSOCKET',
  noun: 'connections',
  port: 8082,
  opsPort: 9182,
});

const own = {
  ...edge,
  ...intakeFields('PUSHFLEET_EDGE_WEBSOCKET'),
  messageBytes: field.bytes({
    env: 'PUSHFLEET_EDGE_WEBSOCKET_MESSAGE_BYTES',
    doc: 'The largest message of a client, inflated; a larger one closes its connection with 1009. A payload and its header have to fit.',
    fallback: '1MiB',
    min: 1_024,
    max: 64 * 1_048_576,
  }),
  messageRate: field.integer({
    env: 'PUSHFLEET_EDGE_WEBSOCKET_MESSAGE_RATE',
    doc: 'Messages and control frames a second that are read from one connection, on average; bursts of as many are read at once. What comes faster waits in the client.',
    fallback: 10_000,
    min: 1,
  }),
  requests: field.integer({
    env: 'PUSHFLEET_EDGE_WEBSOCKET_REQUESTS',
    doc: 'Requests of one connection that may be unanswered at once; further ones are answered rate_limited.',
    fallback: 256,
    min: 1,
    max: 100_000,
  }),
  authMs: field.duration({
    env: 'PUSHFLEET_EDGE_WEBSOCKET_AUTH_SECONDS',
    doc: 'How long a connection that brought no credentials has for its first message, which brings them.',
    fallback: 5,
    min: 0.1,
    max: 60,
  }),
  deflate: field.boolean({
    env: 'PUSHFLEET_EDGE_WEBSOCKET_DEFLATE',
    doc: 'Take offers of permessage-deflate. A publication is compressed once, for all connections that offered it.',
    fallback: true,
  }),
  deflateBytes: field.bytes({
    env: 'PUSHFLEET_EDGE_WEBSOCKET_DEFLATE_BYTES',
    doc: 'The smallest message that is worth compressing.',
    fallback: '1KiB',
    min: 0,
  }),
  echo: field.boolean({
    env: 'PUSHFLEET_EDGE_WEBSOCKET_ECHO',
    doc: 'Serve the subprotocol pushfleet.echo, which sends every message back to whoever connects, without a token. For conformance suites alone.',
    fallback: false,
  }),
};

export const fields = { ...fleetFields, ...presenceFields, ...own };

/** What the edge itself needs of the configuration. */
export type EdgeConfig = Config<typeof own> & Pick<Config<typeof fleetFields>, 'drainMs' | 'requestMs'>;
