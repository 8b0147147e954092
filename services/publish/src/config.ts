import { subscriptionRateFields } from '@pushfleet/delivery';
import { intakeFields } from '@pushfleet/intake';
import { outboundFields } from '@pushfleet/outbound';
import {
  browserFields,
  commonFields,
  field,
  natsFields,
  policyFields,
  publicFields,
  registryFields,
  tokenFields,
  traceFields,
} from '@pushfleet/runtime';

export const title = 'publish';

// Publish judges addresses and calls none.
const { outboundAllow, outboundPorts } = outboundFields;

const longestLease = 366 * 86_400;

export const fields = {
  ...commonFields,
  ...tokenFields,
  ...natsFields,
  ...registryFields,
  ...policyFields,
  ...traceFields,
  ...publicFields,
  ...browserFields,
  ...subscriptionRateFields,
  outboundAllow,
  outboundPorts,
  listen: field.address({
    env: 'PUSHFLEET_PUBLISH_LISTEN',
    doc: 'Where the HTTP publish API listens.',
    fallback: '127.0.0.1:8080',
  }),
  opsListen: field.address({
    env: 'PUSHFLEET_PUBLISH_OPS_LISTEN',
    doc: 'Where publish answers /healthz, /readyz and /metrics.',
    fallback: '127.0.0.1:9180',
  }),
  grpcListen: field.address({
    env: 'PUSHFLEET_PUBLISH_GRPC_LISTEN',
    doc: 'Where the gRPC publish API listens.',
    fallback: '127.0.0.1:50051',
  }),
  grpcCleartext: field.boolean({
    env: 'PUSHFLEET_PUBLISH_GRPC_CLEARTEXT',
    doc: 'Let gRPC listen beyond loopback without TLS, because a proxy or mesh in front brings it.',
    fallback: false,
  }),
  grpcTlsCert: field.text({
    env: 'PUSHFLEET_PUBLISH_GRPC_TLS_CERT',
    doc: 'The certificate chain (PEM) of the gRPC publish API. With it, cleartext is refused.',
    optional: true,
    file: true,
    example: 'PUSHFLEET_PUBLISH_GRPC_TLS_CERT_FILE=/run/secrets/tls.crt',
  }),
  grpcTlsKey: field.secret({
    env: 'PUSHFLEET_PUBLISH_GRPC_TLS_KEY',
    doc: 'The private key (PEM) of PUSHFLEET_PUBLISH_GRPC_TLS_CERT.',
    optional: true,
  }),
  grpcTlsClientCa: field.text({
    env: 'PUSHFLEET_PUBLISH_GRPC_TLS_CLIENT_CA',
    doc: 'The certificates (PEM) that sign publishers. With them every caller must show a certificate (mTLS), beside its token.',
    optional: true,
    file: true,
    example: 'PUSHFLEET_PUBLISH_GRPC_TLS_CLIENT_CA_FILE=/run/secrets/clients.pem',
  }),
  grpcConnections: field.integer({
    env: 'PUSHFLEET_PUBLISH_GRPC_CONNECTIONS',
    doc: 'The most gRPC connections of one instance; one more is closed at once. A front that holds connections for its callers needs few.',
    fallback: 20_000,
    min: 1,
  }),
  grpcConnectionAgeMs: field.duration({
    env: 'PUSHFLEET_PUBLISH_GRPC_CONNECTION_AGE_SECONDS',
    doc: 'After about this time a gRPC connection is asked to make way for a new one, so that callers spread over new instances. Calls and streams that it carries go on.',
    fallback: 300,
    min: 1,
    max: 86_400,
  }),
  grpcPublicUrl: field.text({
    env: 'PUSHFLEET_PUBLISH_GRPC_PUBLIC_URL',
    doc: 'Where publishers reach the gRPC publish API, as discovery tells them. Absent, discovery names the service alone.',
    optional: true,
    example: 'dns:///publish.example.com:443',
  }),
  ...intakeFields('PUSHFLEET_PUBLISH'),
  batchBytes: field.bytes({
    env: 'PUSHFLEET_PUBLISH_BATCH_BYTES',
    doc: 'The largest body of POST /v1/publish, and the largest message of the gRPC publish API.',
    fallback: '4MiB',
    min: 1_024,
    max: 1_073_741_824,
  }),
  bodyTimeoutMs: field.duration({
    env: 'PUSHFLEET_PUBLISH_BODY_SECONDS',
    doc: 'The longest time the body of an HTTP publish may take to arrive. The message of a gRPC call has PUSHFLEET_REQUEST_SECONDS beyond it.',
    fallback: 30,
    min: 1,
    max: 3_600,
  }),
  streamDrafts: field.integer({
    env: 'PUSHFLEET_PUBLISH_STREAM_DRAFTS',
    doc: 'Drafts of one PublishStream that may be unanswered before the server stops reading.',
    fallback: 1_000,
    min: 1,
    max: 100_000,
  }),
  subscriptions: field.integer({
    env: 'PUSHFLEET_PUBLISH_SUBSCRIPTIONS',
    doc: 'The most Subscribe streams of one instance.',
    fallback: 10_000,
    min: 0,
  }),
  outboxCount: field.integer({
    env: 'PUSHFLEET_PUBLISH_OUTBOX_COUNT',
    doc: 'Publications that may wait for one Subscribe stream before it ends as a slow consumer.',
    fallback: 1_000,
    min: 1,
  }),
  outboxBytes: field.bytes({
    env: 'PUSHFLEET_PUBLISH_OUTBOX_BYTES',
    doc: 'Bytes of publications that may wait for one Subscribe stream before it ends as a slow consumer.',
    fallback: '4MiB',
    min: 65_536,
  }),
  historyReads: field.integer({
    env: 'PUSHFLEET_PUBLISH_HISTORY_READS',
    doc: 'The most reads of the log for history and explanations that one instance does at once; further ones get rate_limited. Each holds up to about 1 MiB for each shard.',
    fallback: 16,
    min: 1,
  }),
  historyReadsPerSubject: field.integer({
    env: 'PUSHFLEET_PUBLISH_HISTORY_READS_PER_SUBJECT',
    doc: 'How many of PUSHFLEET_PUBLISH_HISTORY_READS one token subject may take at once.',
    fallback: 4,
    min: 1,
  }),
  historyReadMs: field.duration({
    env: 'PUSHFLEET_PUBLISH_HISTORY_SECONDS',
    doc: 'The longest time one such read may take. What was found until then is answered.',
    fallback: 10,
    min: 1,
    max: 300,
  }),
  historyPageBytes: field.bytes({
    env: 'PUSHFLEET_PUBLISH_HISTORY_PAGE_BYTES',
    doc: 'The most bytes of the publications of one page of history, before they are written as JSON; a single larger one is a page of its own.',
    fallback: '1MiB',
    min: 1_024,
    max: 64 * 1_048_576,
  }),
  explainPublications: field.integer({
    env: 'PUSHFLEET_PUBLISH_EXPLAIN_PUBLICATIONS',
    doc: 'The most publications that an explanation looks at to find those of an id.',
    fallback: 100_000,
    min: 1,
  }),
  leaseMs: field.duration({
    env: 'PUSHFLEET_NOTIFY_LEASE',
    doc: 'How long a subscription by SUBSCRIBE lasts whose subscriber does not say.',
    fallback: '30m',
    min: 1,
    max: longestLease,
  }),
  leaseLeastMs: field.duration({
    env: 'PUSHFLEET_NOTIFY_LEASE_MIN',
    doc: 'The shortest lease; who asks for less gets this.',
    fallback: '1m',
    min: 1,
    max: longestLease,
  }),
  leaseMostMs: field.duration({
    env: 'PUSHFLEET_NOTIFY_LEASE_MAX',
    doc: 'The longest lease; who asks for more, or for one without an end, gets this.',
    fallback: '1d',
    min: 1,
    max: longestLease,
  }),
  keepAliveMs: field.duration({
    env: 'PUSHFLEET_PUBLISH_KEEP_ALIVE_SECONDS',
    doc: 'How often a quiet Subscribe stream is told where to resume, and how often a quiet gRPC connection is probed.',
    fallback: 30,
    min: 1,
    max: 3_600,
  }),
};
