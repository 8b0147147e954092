/**
 * Every size and count that a caller can run into, with its default. A service may lower or raise the
 * configurable ones (see docs/configuration.md); the others follow from a standard or from the broker.
 */
export const limits = {
  /** Longest topic or filter, in bytes of UTF-8. Escaped for the broker it stays under NATS' 4,096-byte control line. */
  topicBytes: 1_024,
  /** Longest publication id, in bytes of UTF-8. */
  idBytes: 256,
  /** Longest `source` or `type`, in bytes of UTF-8. */
  nameBytes: 256,
  /** Longest content type, in bytes. */
  contentTypeBytes: 256,
  /** Most attributes on one publication. */
  attributes: 64,
  /** Names and values of all attributes together, in bytes of UTF-8. */
  attributesBytes: 8_192,
  /** Largest payload, in bytes; the broker's own max_payload (1 MiB by default) holds headers and payload. */
  payloadBytes: 1_048_576 - 65_536,
  /** Most drafts in one batch: the broker's limit for an atomic batch. */
  batchDrafts: 1_000,
  /** Longest namespace, in characters. */
  namespaceLength: 64,
  /** Longest cursor, in characters. */
  cursorLength: 1_024,
  /** Most shards of one generation. */
  shards: 64,
  /** Most topic filters of one feed. */
  feedFilters: 100,
  /** Largest state of a member's presence, in bytes. */
  presenceStateBytes: 4_096,
  /** Longest client id of a member, in bytes of UTF-8. */
  presenceClientBytes: 1_024,
} as const;
