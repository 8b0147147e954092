import { limits, presencePrefix } from '@pushfleet/core';

/** What one call may hold, and what one member may; the rest is configured. */
export const presenceLimits = {
  /** Most entries of a put, or keys of a leave. */
  entries: 1_000,
  /** Members of a page where the caller does not say, and at most. */
  page: 100,
  pageMost: 1_000,
  /** Bytes of a page's records as Redis keeps them: it ends before the member that goes beyond, behind the first. */
  pageBytes: 262_144,
  /** Lists of one instance under way. */
  lists: 64,
  /** Longest topic in bytes: its changes are published on a topic of their own below `$presence/`. */
  topicBytes: limits.topicBytes - presencePrefix.length,
  /** Longest subject, in bytes of UTF-8. */
  subjectBytes: 1_024,
  /** Longest time to live, and longest linger, in seconds. */
  ttlSeconds: 86_400,
  lingerSeconds: 3_600,
  /** Changes of one namespace that may wait to be published; beyond it only leaves are taken. */
  waiting: 100_000,
  /** Longest name of a service that is kept, in characters. */
  nameLength: 256,
} as const;
