import type { Namespace } from '@pushfleet/core';

/**
 * The keys of a namespace share a hash tag, so that a cluster keeps them in one slot and a script reaches all of them:
 *
 * - `…:meta`, a hash: `e`, made up when the namespace was first used, to be missed when it is lost; `r`, the last
 *   revision; `n`, how many members there are
 * - `…:t:<topic>`, a sorted set in the order of bytes: the members of a topic, see `record.ts`
 * - `…:topics`, a sorted set in the order of bytes: the topics that have members
 * - `…:holders`, the leases that something was entered under; `…:h:<lease>`, what hangs on one: `<topic> NUL <ref>`
 * - `…:end:<lease>`: nothing is entered under it any more
 * - `…:ttl`, a sorted set: `<topic> NUL <ref>` of those that leave by themselves, by when (Unix ms by Redis' clock)
 * - `…:out`, the changes that are not published yet; `…:lock`, who publishes them
 */
export const prefixOf = (namespace: Namespace): string => `{${namespace}}:presence:`;

export const metaOf = (namespace: Namespace): string => `${prefixOf(namespace)}meta`;

/**
 * A hash: `<count> <service>` of each lease, where the count grows with every renewal; `!<kind>` once it has ended and
 * what hangs on it is being released. No namespace begins with "$".
 */
export const leasesKey = '{$}:presence:leases';

/** A hash: `<e> <Unix ms of its last registration>` of each namespace in which something may be entered. */
export const namespacesKey = '{$}:presence:namespaces';
