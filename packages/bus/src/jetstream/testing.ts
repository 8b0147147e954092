/** Streams as the tests make them. */
export const testStreams = {
  shards: 1,
  replicas: 1,
  maxAgeMs: 3_600_000,
  maxBytes: 268_435_456,
  duplicateWindowMs: 120_000,
} as const;
