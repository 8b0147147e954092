import { field } from './field.ts';
import { parseIssuers } from './issuer.ts';

/** What every service reads. */
export const commonFields = {
  drainMs: field.duration({
    env: 'PUSHFLEET_DRAIN_SECONDS',
    doc: 'How long a service that was told to stop spends on finishing what it accepted before it cuts the rest.',
    fallback: 30,
    min: 0,
    max: 3_600,
  }),
  requestMs: field.duration({
    env: 'PUSHFLEET_REQUEST_SECONDS',
    doc: 'How long a request over HTTP may take to arrive whole; its head has a third of that. Whoever is slower is refused, and the connection ends.',
    fallback: 30,
    min: 1,
    max: 3_600,
  }),
  logLevel: field.choice({
    env: 'PUSHFLEET_LOG_LEVEL',
    doc: 'The least severe log lines written.',
    choices: ['trace', 'debug', 'info', 'warn', 'error', 'fatal'],
    fallback: 'info',
  }),
};

/** What a service reads that checks tokens. At least one source of keys must be configured: nothing is open. */
export const tokenFields = {
  tokenSecret: field.secret({
    env: 'PUSHFLEET_TOKEN_SECRET',
    doc: 'Short form of one issuer: the secret that its tokens are signed with (HS256).',
    optional: true,
    min: 32,
  }),
  tokenPublicKey: field.text({
    env: 'PUSHFLEET_TOKEN_PUBLIC_KEY',
    doc: 'Short form of one issuer: the public key in PEM; the algorithm follows from its type (RSA: RS256, P-256: ES256, P-384: ES384, P-521: ES512, Ed25519: EdDSA).',
    optional: true,
    file: true,
    example: 'PUSHFLEET_TOKEN_PUBLIC_KEY_FILE=/run/secrets/token.pem',
  }),
  tokenJwksUrl: field.url({
    env: 'PUSHFLEET_TOKEN_JWKS_URL',
    doc: 'Short form of one issuer: the address of its key set. Keys are kept ten minutes and fetched again for an unknown key. Use https outside a network you trust.',
    schemes: ['https', 'http'],
    optional: true,
    example: 'https://login.example.com/.well-known/jwks.json',
  }),
  tokenIssuer: field.text({
    env: 'PUSHFLEET_TOKEN_ISSUER',
    doc: 'Short form: the claim "iss" that tokens must have.',
    optional: true,
    example: 'https://login.example.com',
  }),
  tokenAudience: field.text({
    env: 'PUSHFLEET_TOKEN_AUDIENCE',
    doc: 'Short form: the claim "aud" that tokens must name.',
    optional: true,
    example: 'pushfleet',
  }),
  tokenIssuers: field.parsed(
    {
      env: 'PUSHFLEET_TOKEN_ISSUERS',
      doc: 'Further issuers. Each has one of "secret", "keys" (a list of JWKs) and "jwksUrl", or an "issuer" that is a URL and publishes its keys; docs/security.md lists what else it may say: audience, type of token, roles, namespace.',
      rule: 'a JSON list of issuers',
      example:
        '[{"issuer":"https://login.example.com","audience":"pushfleet","jwksUrl":"https://login.example.com/jwks.json"}]',
      secret: true,
      optional: true,
    },
    parseIssuers,
  ),
  tokenLifetimeMs: field.duration({
    env: 'PUSHFLEET_TOKEN_MAX_LIFETIME',
    doc: 'The longest time from the issue of a token to its expiry; a longer one is refused. A revocation that names no end holds for this long, so that no revoked token outlives it. The same for all services.',
    fallback: '30d',
    min: 60,
    max: 10 * 366 * 86_400,
  }),
};

/** What a service reads that uses the log. */
export const natsFields = {
  natsUrl: field.text({
    env: 'PUSHFLEET_NATS_URL',
    doc: 'The NATS servers, comma-separated. A user and a password may stand in the first; give them in a file then.',
    fallback: 'nats://127.0.0.1:4222',
    file: true,
  }),
  natsCreds: field.secret({
    env: 'PUSHFLEET_NATS_CREDS',
    doc: 'The contents of a NATS credentials file; PUSHFLEET_NATS_CREDS_FILE names the file itself.',
    optional: true,
  }),
};

/** What a service reads that speaks gRPC inside the fleet, as a client or as a server. */
export const internalFields = {
  internalSecret: field.secret({
    env: 'PUSHFLEET_INTERNAL_SECRET',
    doc: 'The secret by which the services of the fleet know each other. Absent, it is derived from PUSHFLEET_TOKEN_SECRET.',
    optional: true,
    min: 32,
  }),
  tokenSecret: tokenFields.tokenSecret,
  internalTlsCa: field.text({
    env: 'PUSHFLEET_INTERNAL_TLS_CA',
    doc: 'The certificates (PEM) that sign the services of the fleet. A client trusts them alone; a server that has them asks clients for a certificate (mTLS).',
    optional: true,
    file: true,
    example: 'PUSHFLEET_INTERNAL_TLS_CA_FILE=/run/secrets/ca.pem',
  }),
  internalTlsCert: field.text({
    env: 'PUSHFLEET_INTERNAL_TLS_CERT',
    doc: 'The certificate chain (PEM) that this service shows to others of the fleet.',
    optional: true,
    file: true,
    example: 'PUSHFLEET_INTERNAL_TLS_CERT_FILE=/run/secrets/tls.crt',
  }),
  internalTlsKey: field.secret({
    env: 'PUSHFLEET_INTERNAL_TLS_KEY',
    doc: 'The private key (PEM) of PUSHFLEET_INTERNAL_TLS_CERT.',
    optional: true,
  }),
};

/** What a service reads that asks the registry. */
export const registryFields = {
  ...internalFields,
  registryUrl: field.url({
    env: 'PUSHFLEET_REGISTRY_URL',
    doc: "The registry's gRPC address; https speaks TLS. Absent, tickets are refused and no revocation is known.",
    schemes: ['http', 'https'],
    optional: true,
    example: 'http://127.0.0.1:50052',
  }),
};

/** What a service reads that keeps to the operator's rules for topics and namespaces. */
export const policyFields = {
  policiesFile: field.text({
    env: 'PUSHFLEET_POLICIES_FILE',
    doc: 'A JSON file of topic policies and quotas of namespaces, read again whenever it changes; give every service the same. Absent, nothing is limited beyond these variables. docs/operations.md describes it, deploy/policies.example.json shows one.',
    optional: true,
    example: '/etc/pushfleet/policies.json',
  }),
};

/** What a service reads that takes part in traces. */
export const traceFields = {
  tracesUrl: field.url({
    env: 'PUSHFLEET_TRACES_URL',
    doc: 'The collector that spans are sent to by OTLP. Absent, nothing is traced. Where it has no path, HTTP asks for /v1/traces. What else a collector wants is read from the standard OTEL_EXPORTER_OTLP_* variables, such as _HEADERS and _CERTIFICATE.',
    schemes: ['http', 'https'],
    optional: true,
    example: 'http://collector.example.com:4318',
  }),
  tracesProtocol: field.choice({
    env: 'PUSHFLEET_TRACES_PROTOCOL',
    doc: 'How the collector is spoken to.',
    choices: ['http/protobuf', 'grpc'],
    fallback: 'http/protobuf',
  }),
  tracesSample: field.parsed(
    {
      env: 'PUSHFLEET_TRACES_SAMPLE',
      doc: 'The fraction of the requests traced that bring no decision of their publisher: 1 is all of them, up to PUSHFLEET_TRACES_RATE.',
      rule: 'a number from 0 to 1',
      example: '0.1',
      fallback: 1,
    },
    parseFraction,
  ),
  tracesTrustPublishers: field.boolean({
    env: 'PUSHFLEET_TRACES_TRUST_PUBLISHERS',
    doc: 'Whether the sampled flag of a publisher decides, both ways. Otherwise PUSHFLEET_TRACES_SAMPLE does, and the flag is passed over.',
    fallback: true,
  }),
  tracesRate: field.integer({
    env: 'PUSHFLEET_TRACES_RATE',
    doc: 'The most traces that one instance begins or joins each second, whoever asked for them.',
    fallback: 10,
    min: 1,
    max: 100_000,
  }),
  tracesQueue: field.integer({
    env: 'PUSHFLEET_TRACES_QUEUE',
    doc: 'The most spans that wait for the collector; further ones are dropped.',
    fallback: 4_096,
    min: 1,
    max: 1_000_000,
  }),
  baggageBytes: field.bytes({
    env: 'PUSHFLEET_TRACES_BAGGAGE_BYTES',
    doc: 'The longest baggage header that travels with a publication; a longer one is dropped.',
    fallback: 512,
    min: 0,
    max: 8_192,
  }),
  baggageEntries: field.integer({
    env: 'PUSHFLEET_TRACES_BAGGAGE_ENTRIES',
    doc: 'The most entries of baggage that travels with a publication; baggage with more is dropped.',
    fallback: 8,
    min: 0,
    max: 180,
  }),
};

function parseFraction(text: string): number {
  const fraction = Number(text);
  if (!/^[\d.]+$/.test(text) || !(fraction >= 0 && fraction <= 1)) throw new Error();
  return fraction;
}

/** What a service reads that tells others where, or who, the fleet is. */
export const publicFields = {
  publicUrl: field.url({
    env: 'PUSHFLEET_PUBLIC_URL',
    doc: 'The one public origin of the fleet, for the URLs in discovery; receivers of webhooks know the fleet by its host. Absent, URLs are relative to the address asked.',
    schemes: ['https', 'http'],
    optional: true,
    example: 'https://push.example.com',
  }),
};

/** What a service reads that answers pages of browsers. */
export const browserFields = {
  corsOrigins: field.list({
    env: 'PUSHFLEET_CORS_ORIGINS',
    doc: 'Origins of pages that may use the fleet with cookies and tickets. "*" adds every other page, without either. Pages of the same origin need no entry, provided that the front hands the Host header on.',
    fallback: '',
    example: 'https://app.example.com,https://admin.example.com',
  }),
};

/** The shared declarations with the headings they stand under in docs/configuration.md. */
export const sharedFields = [
  { title: 'Every service', fields: commonFields },
  { title: 'Token checks', fields: tokenFields },
  { title: 'The log', fields: natsFields },
  { title: 'Inside the fleet', fields: registryFields },
  { title: 'Policies and quotas', fields: policyFields },
  { title: 'Traces', fields: traceFields },
  { title: 'The public address', fields: publicFields },
  { title: 'Browsers', fields: browserFields },
] as const;
