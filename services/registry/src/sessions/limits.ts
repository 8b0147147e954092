/** Sizes and counts of a session that are not configurable. */
export const sessionLimits = {
  /** Longest id, in bytes of UTF-8. */
  idBytes: 1_024,
  /** Longest name of a protocol, in characters. */
  protocolLength: 16,
  /** Longest name of an instance, in characters: what the fleet's gossip takes. */
  instanceLength: 80,
  /** Longest subject, in bytes of UTF-8. */
  subjectBytes: 1_024,
  /** Longest options of a filter, in bytes. */
  optionsBytes: 256,
  /** Longest name of a group, in bytes of UTF-8. */
  groupBytes: 1_024,
  /** Most attributes of a record; the longest name and value, in bytes. */
  attributes: 32,
  attributeNameBytes: 64,
  attributeBytes: 4_096,
  /** Most commits of one call. */
  commits: 1_000,
  /** Longest name and value of a field of the hot state, in bytes. */
  fieldNameBytes: 64,
  fieldBytes: 65_536,
  /** Most fields of one commit, put and removed together: a script has its arguments on Redis' stack. */
  fields: 1_000,
  /** Sessions of a page where the caller does not say, and at most. */
  page: 100,
  pageMost: 1_000,
} as const;

/** What an operator sets. */
export interface SessionTerms {
  /** Most filters of one session. */
  readonly filters: number;
  /** Largest record, in bytes as the log holds it. */
  readonly recordBytes: number;
  /** Largest hot state, in bytes: names and values of the fields together. */
  readonly stateBytes: number;
}
