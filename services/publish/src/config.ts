import { limits } from '@pushfleet/core';
import { commonFields, field, natsFields, registryFields, tokenFields } from '@pushfleet/runtime';

export const title = 'publish';

export const fields = {
  ...commonFields,
  ...tokenFields,
  ...natsFields,
  ...registryFields,
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
  publicUrl: field.url({
    env: 'PUSHFLEET_PUBLIC_URL',
    doc: 'The one public origin of the fleet, for the URLs in discovery. Absent, they are relative to the address asked.',
    schemes: ['https', 'http'],
    optional: true,
    example: 'https://push.example.com',
  }),
  grpcPublicUrl: field.text({
    env: 'PUSHFLEET_PUBLISH_GRPC_PUBLIC_URL',
    doc: 'Where publishers reach the gRPC publish API, as discovery tells them. Absent, discovery names the service alone.',
    optional: true,
    example: 'dns:///publish.example.com:443',
  }),
  payloadBytes: field.bytes({
    env: 'PUSHFLEET_PUBLISH_PAYLOAD_BYTES',
    doc: "The largest payload of one publication. With its headers it must fit into the broker's max_payload.",
    fallback: limits.payloadBytes,
    min: 1,
    max: 64 * 1_048_576,
  }),
  batchBytes: field.bytes({
    env: 'PUSHFLEET_PUBLISH_BATCH_BYTES',
    doc: 'The largest body of POST /v1/publish, and the largest message of the gRPC publish API.',
    fallback: '4MiB',
    min: 1_024,
    max: 1_073_741_824,
  }),
  pendingBytes: field.bytes({
    env: 'PUSHFLEET_PUBLISH_PENDING_BYTES',
    doc: 'The most bytes of publications that may be unanswered at once; further ones get 503 or UNAVAILABLE.',
    fallback: '64MiB',
    min: 1_048_576,
  }),
  bodyTimeoutMs: field.duration({
    env: 'PUSHFLEET_PUBLISH_BODY_SECONDS',
    doc: 'The longest time the body of an HTTP publish may take to arrive.',
    fallback: 30,
    min: 1,
    max: 3_600,
  }),
  ratePerSecond: field.integer({
    env: 'PUSHFLEET_PUBLISH_RATE',
    doc: 'Publications per second that each token subject may publish through one instance, on average.',
    fallback: 10_000,
    min: 1,
  }),
  rateBurst: field.integer({
    env: 'PUSHFLEET_PUBLISH_BURST',
    doc: 'Publications that a token subject may publish at once before PUSHFLEET_PUBLISH_RATE holds it back.',
    fallback: 20_000,
    min: 1,
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
  keepAliveMs: field.duration({
    env: 'PUSHFLEET_PUBLISH_KEEP_ALIVE_SECONDS',
    doc: 'How often a quiet Subscribe stream is told where to resume, and how often a quiet gRPC connection is probed.',
    fallback: 30,
    min: 1,
    max: 3_600,
  }),
};
