import { subscriptionRateFields } from '@pushfleet/delivery';
import { outboundFields } from '@pushfleet/outbound';
import {
  browserFields,
  commonFields,
  field,
  internalFields,
  natsFields,
  policyFields,
  tokenFields,
} from '@pushfleet/runtime';
import { parseRedisUrl, redisUrlRule } from './redis-url.ts';
import { parseSealingKeys, sealingKeysRule } from './subscriptions/sealing-keys.ts';

export const title = 'registry';

// The registry judges addresses and calls none.
const { outboundAllow, outboundPorts } = outboundFields;

export const fields = {
  ...commonFields,
  ...browserFields,
  ...tokenFields,
  ...natsFields,
  ...internalFields,
  ...policyFields,
  ...subscriptionRateFields,
  outboundAllow,
  outboundPorts,
  listen: field.address({
    env: 'PUSHFLEET_REGISTRY_LISTEN',
    doc: 'Where the registry answers managers and browsers over HTTP.',
    fallback: '127.0.0.1:8084',
  }),
  grpcListen: field.address({
    env: 'PUSHFLEET_REGISTRY_GRPC_LISTEN',
    doc: 'Where the registry answers the other services over gRPC. Never to be reached from outside the fleet.',
    fallback: '127.0.0.1:50052',
  }),
  opsListen: field.address({
    env: 'PUSHFLEET_REGISTRY_OPS_LISTEN',
    doc: 'Where the registry answers /healthz, /readyz and /metrics.',
    fallback: '127.0.0.1:9184',
  }),
  redis: field.parsed(
    {
      env: 'PUSHFLEET_REDIS_URL',
      doc: "The registry's Redis: standalone, behind Sentinel, or a cluster; rediss speaks TLS.",
      rule: redisUrlRule,
      example: 'rediss://:password@redis.example.com:6379',
      fallback: 'redis://127.0.0.1:6379',
      secret: true,
    },
    parseRedisUrl,
  ),
  redisTlsCa: field.text({
    env: 'PUSHFLEET_REDIS_TLS_CA',
    doc: "The certificates (PEM) that sign Redis' own, where no public authority does.",
    optional: true,
    file: true,
    example: 'PUSHFLEET_REDIS_TLS_CA_FILE=/run/secrets/redis-ca.pem',
  }),
  ticketMs: field.duration({
    env: 'PUSHFLEET_TICKET_SECONDS',
    doc: 'How long a ticket may wait to be used.',
    fallback: 30,
    min: 1,
    max: 300,
  }),
  ticketRate: field.integer({
    env: 'PUSHFLEET_TICKET_RATE',
    doc: 'Tickets that each token subject may get per second from one instance, on average.',
    fallback: 10,
    min: 1,
  }),
  ticketBurst: field.integer({
    env: 'PUSHFLEET_TICKET_BURST',
    doc: 'Tickets that a token subject may get at once before PUSHFLEET_TICKET_RATE holds it back.',
    fallback: 50,
    min: 1,
  }),
  ticketsOutstanding: field.integer({
    env: 'PUSHFLEET_TICKETS_OUTSTANDING',
    doc: 'The most tickets of one token subject that may wait to be used, over all instances.',
    fallback: 100,
    min: 1,
    max: 10_000,
  }),
  revocations: field.integer({
    env: 'PUSHFLEET_REVOCATIONS',
    doc: 'The most revocations of one namespace. Every service that checks tokens holds all of them in memory.',
    fallback: 100_000,
    min: 1,
  }),
  subscriptions: field.integer({
    env: 'PUSHFLEET_SUBSCRIPTIONS',
    doc: 'The most subscriptions of one namespace, of all kinds and in every state; a quota of PUSHFLEET_POLICIES_FILE may allow it fewer. What several instances create at the same moment can pass it by that.',
    fallback: 1_000_000,
    min: 0,
  }),
  secretsKeys: field.parsed(
    {
      env: 'PUSHFLEET_SECRETS_KEYS',
      doc: 'The keys that the secrets of subscriptions are encrypted under (AES-256-GCM): the first encrypts, all decrypt. Absent, a subscription that has a secret is refused. docs/operations.md says how a key is exchanged.',
      rule: sealingKeysRule,
      example: 'PUSHFLEET_SECRETS_KEYS_FILE=/run/secrets/secrets_keys',
      optional: true,
      secret: true,
    },
    parseSealingKeys,
  ),
  presenceExpiryMs: field.duration({
    env: 'PUSHFLEET_PRESENCE_EXPIRY_SECONDS',
    doc: 'Within this time the members of an instance that died have left their topics. The same for all instances of the registry.',
    fallback: 30,
    min: 10,
    max: 3_600,
  }),
  presenceMembers: field.integer({
    env: 'PUSHFLEET_PRESENCE_MEMBERS',
    doc: 'The most members of one topic.',
    fallback: 10_000,
    min: 1,
  }),
  presenceNamespaceMembers: field.integer({
    env: 'PUSHFLEET_PRESENCE_NAMESPACE_MEMBERS',
    doc: 'The most members of all topics of one namespace. Redis keeps 400 to 900 bytes for each, and its state in base64.',
    fallback: 1_000_000,
    min: 1,
  }),
  presenceWatches: field.integer({
    env: 'PUSHFLEET_PRESENCE_WATCHES',
    doc: 'The most services that may watch presence at one instance at the same time.',
    fallback: 100,
    min: 0,
  }),
  sessions: field.integer({
    env: 'PUSHFLEET_SESSIONS',
    doc: 'The most sessions (MQTT, XMPP) of one namespace, of clients that are connected and of those whose session waits for them; a quota of PUSHFLEET_POLICIES_FILE may allow it fewer. What several instances create at the same moment can pass it by that.',
    fallback: 1_000_000,
    min: 0,
  }),
  sessionFilters: field.integer({
    env: 'PUSHFLEET_SESSION_FILTERS',
    doc: 'The most topic filters of one session.',
    fallback: 1_000,
    min: 1,
    max: 10_000,
  }),
  sessionRecordBytes: field.integer({
    env: 'PUSHFLEET_SESSION_RECORD_BYTES',
    doc: "The largest record of a session, its will and filters included, in bytes; the broker's max_payload has to be larger.",
    fallback: 1_000_000,
    min: 1_024,
    max: 67_108_864,
  }),
  sessionStateBytes: field.integer({
    env: 'PUSHFLEET_SESSION_STATE_BYTES',
    doc: 'The largest state of one session in Redis, in bytes: which deliveries are on their way to its client, and which publications of it are not complete.',
    fallback: 1_048_576,
    min: 1_024,
    max: 16_777_216,
  }),
  sessionDeadMs: field.duration({
    env: 'PUSHFLEET_SESSION_DEAD_SECONDS',
    doc: 'Of an instance that was not heard of for so long the sessions are released, as if their connections were lost: wills and expiries begin.',
    fallback: 10,
    min: 6,
    max: 600,
  }),
  webhookUnconfirmed: field.boolean({
    env: 'PUSHFLEET_WEBHOOK_UNCONFIRMED',
    doc: 'Whether subscriptions may call receivers that have not confirmed that they want it ("handshake": "none").',
    fallback: false,
  }),
};
