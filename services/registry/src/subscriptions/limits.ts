/** Every size and count of a subscription. What is not configurable here bounds the size of a batch of records. */
export const recordLimits = {
  /** The record as it is stored, in bytes: a batch of 1,000 fits the 32 MiB that a client of the fleet takes. */
  recordBytes: 16_384,
  /** Longest URL, in bytes. */
  urlBytes: 2_048,
  /** Longest description, in bytes of UTF-8. */
  descriptionBytes: 1_024,
  /** Longest reason of a state, in bytes of UTF-8. */
  reasonBytes: 512,
  /** Longest subject or token id, in bytes of UTF-8. */
  subjectBytes: 256,
  /** Most grants of one authority. */
  grants: 100,
  /** Most headers of one webhook. */
  headers: 32,
  /** Longest name of a header, in bytes. */
  headerNameBytes: 128,
  /** Names and values of all headers together, in bytes. */
  headersBytes: 8_192,
  /** Most signing secrets of one webhook: one more than a rotation needs. */
  secrets: 3,
  /** Longest name of a signing secret, in characters. */
  keyIdLength: 64,
  /** Bytes of an HMAC key: what Standard Webhooks asks for. */
  hmacBytes: [24, 64],
  ratePerSecond: 10_000,
  concurrency: 1_000,
  timeoutMs: 120_000,
  /** Longest `hub.secret`, in bytes: WebSub, section 5.1, asks for less than 200. */
  websubSecretBytes: 199,
  /** Longest `hub.verify_token`, in bytes. */
  websubTokenBytes: 256,
  /** Most requests of one WebSub subscriber that are not confirmed yet. */
  websubRequests: 8,
  /** Longest time a push service keeps a message, in seconds: four weeks, the most that any takes. */
  ttlSeconds: 2_419_200,
  /** Most call-back URLs of one receiver of notifications. */
  callbacks: 8,
  /** How far ahead an end may lie, in milliseconds: ten years. */
  leaseMs: 10 * 366 * 86_400_000,
  /** Most paths of one update mask. */
  paths: 64,
  /** Most records of one batch, and of one page. */
  batch: 1_000,
  /** Most questions of one match, and most matches of each in an answer. */
  questions: 500,
  matches: 10_000,
} as const;
