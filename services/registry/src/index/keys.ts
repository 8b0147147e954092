import type { Namespace } from '@pushfleet/core';

/**
 * The keys of a namespace share a hash tag, so that a cluster keeps them in one slot and a script reaches all of them:
 *
 * - `…:mark`, a hash: `e`, the era of the log that it is about; `r`, the revision up to which all changes of the namespace are applied; `at`, when that was, in
 *   Unix milliseconds; `b`, in place of both, who rebuilds it; `f`, its distinct filters; `o`, see `ordered` in
 *   matching.ts
 * - `…:all`, the records in the order of their ids
 * - `…:own:<owner>`, the ids of an owner's subscriptions
 * - `…:wild`, the distinct wildcard filters, each behind the digit of its kind
 * - `…:<kind>:<filter>`, who is owed what matches the filter, those that want order first
 *
 * All but the mark are sorted sets whose members have the same score, and so are in the order of their bytes.
 */
export const prefixOf = (namespace: Namespace): string => `{${namespace}}:sub:`;

export const markOf = (namespace: Namespace): string => `${prefixOf(namespace)}mark`;

/**
 * A hash: the newest known revision of each namespace, up to which revision of the log (`$to`), of which era (`$era`),
 * and when (`$at`).
 */
export const summaryKey = '{$}:sub:summary';

/** Who rebuilds the index. */
export const lockKey = '{$}:sub:lock';
