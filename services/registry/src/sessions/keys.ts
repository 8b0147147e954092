import type { Namespace } from '@pushfleet/core';
import { digestOf, type Key, type Ref } from './record.ts';

// What stands in braces decides the slot of a cluster. No namespace begins with "$".

/**
 * A hash, the session's hot state: `g`, the generation that may write; `i`, the incarnation; `n`, the bytes of its fields; `b`, the number of the last commit; `c`, the cursor;
 * `f<name>`, the fields. A slot of its own, so that a cluster spreads sessions over its servers.
 */
export const hotKey = (ref: Ref): string => `{${ref}}:session`;

/** A sorted set in the order of bytes: `<protocol> <id>` of the namespace's sessions. */
export const idsKey = (namespace: Namespace): string => `{${namespace}}:session:ids`;

/** A sorted set in the order of bytes: `<group id> <ref>` of each member. The first says the group's id. */
export const groupKey = (namespace: Namespace, group: string): string =>
  `{${namespace}}:session:group:${group}`;

/** Names a group within its namespace. */
export const groupName = ({ protocol }: Pick<Key, 'protocol'>, filter: string, group: string): string =>
  digestOf(`${protocol}\0${group}\0${filter}`);

/** The era in which all groups of the namespace are known. */
export const markKey = (namespace: Namespace): string => `{${namespace}}:session:mark`;

/** A sorted set: the sessions that an instance owns, by the revision at which it was last known to. */
export const ownedKey = (instance: string): string => `{$of:${instance}}:session:owned`;

/** A set: the instances that own something. */
export const ownersKey = '{$}:session:owners';

/** Sets by which what is due is spread over a cluster. */
export const dueSets = 16;

/** A sorted set: sessions by when something of them is due, in Unix milliseconds. */
export const dueKey = (set: number): string => `{$due:${set}}:session:due`;

export const dueSetOf = (ref: Ref): number => ref.charCodeAt(ref.length - 2) % dueSets;

/** A sorted set: `<namespace> <group> <group id> <ref>` of who may not be a member of its group, by since when, in Unix milliseconds. */
export const suspectsKey = '{$}:session:suspects';

/** Names the last filling of the index; absent while groups are not known. */
export const eraKey = '{$}:session:era';

/** A set: the namespaces that have had groups. */
export const namespacesKey = '{$}:session:namespaces';

/** Who sweeps, and who fills the index. */
export const sweepLock = '{$}:session:lock';
export const fillLock = '{$}:session:filling';
