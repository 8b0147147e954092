import { limits } from '@pushfleet/core';
import { field, natsFields } from '@pushfleet/runtime';

export const title = 'The command and the launcher';

/** What the streams are made from. */
export const streamFields = {
  ...natsFields,
  shards: field.integer({
    env: 'PUSHFLEET_STREAM_SHARDS',
    doc: 'Streams that the topics are spread over. Fixed once the log is set up.',
    fallback: 1,
    min: 1,
    max: limits.shards,
  }),
  replicas: field.integer({
    env: 'PUSHFLEET_STREAM_REPLICAS',
    doc: 'Servers that hold each publication before it is acknowledged: 1, 3 or 5.',
    fallback: 1,
    min: 1,
    max: 5,
  }),
  maxAgeMs: field.duration({
    env: 'PUSHFLEET_STREAM_MAX_AGE',
    doc: 'How long a publication is kept. A client that stays away longer is told of a gap.',
    fallback: '1d',
    min: 60,
  }),
  maxBytes: field.bytes({
    env: 'PUSHFLEET_STREAM_MAX_BYTES',
    doc: 'Room for publications, over all shards. A log that is full refuses what is published.',
    fallback: '1GiB',
    min: 1_048_576,
  }),
  duplicateWindowMs: field.duration({
    env: 'PUSHFLEET_STREAM_DUPLICATE_WINDOW',
    doc: 'How long a publication that comes again with the same id is recognised.',
    fallback: 120,
    min: 10,
    max: 86_400,
  }),
};

/** What the command and the launcher read. */
export const fields = {
  ...streamFields,
  token: field.secret({
    env: 'PUSHFLEET_TOKEN',
    doc: 'The token that the commands show. Absent, they make one with the secret.',
    optional: true,
  }),
  natsServer: field.text({
    env: 'PUSHFLEET_NATS_SERVER',
    doc: 'The nats-server that the launcher and the tests start, 2.12 or newer. Absent, one is found or brought.',
    optional: true,
    example: 'PUSHFLEET_NATS_SERVER=/usr/local/bin/nats-server',
  }),
  redisServer: field.text({
    env: 'PUSHFLEET_REDIS_SERVER',
    doc: 'The redis-server that the launcher and the tests start. Absent, one is found or brought.',
    optional: true,
    example: 'PUSHFLEET_REDIS_SERVER=/usr/bin/redis-server',
  }),
};
