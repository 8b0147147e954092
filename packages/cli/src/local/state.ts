import { randomBytes } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { ProcessIdentity } from './process-identity.ts';

/** The checkout. */
export const root = resolve(import.meta.dirname, '../../../..');

/** Where the local fleet keeps secret, data, logs and the record of its processes, unless told otherwise. */
export const defaultState = join(root, '.pushfleet');

/** A process of the fleet as it is on record. */
export interface FleetProcess extends ProcessIdentity {
  readonly name: string;
  /** host:port by listener; of a server of others' making, its one URL. */
  readonly addresses: Readonly<Record<string, string>>;
}

/** What a running fleet says of itself, for `pushfleet status` and for the launcher that comes after it. */
export interface FleetRecord {
  readonly launcher: ProcessIdentity;
  readonly processes: readonly FleetProcess[];
  /** The front's URL; absent until the fleet is ready. */
  readonly url?: string;
}

const recordOf = (state: string): string => join(state, 'fleet.json');

/** The last record, whether its fleet still runs or not. */
export function readRecord(state: string): FleetRecord | undefined {
  try {
    return JSON.parse(readFileSync(recordOf(state), 'utf8')) as FleetRecord;
  } catch {
    return undefined;
  }
}

/** Replaces the record as a whole: a reader sees the old one or the new one. */
export function writeRecord(state: string, record: FleetRecord): void {
  const path = recordOf(state);
  writeFileSync(`${path}.new`, `${JSON.stringify(record, undefined, 2)}\n`);
  renameSync(`${path}.new`, path);
}

export const removeRecord = (state: string): void => rmSync(recordOf(state), { force: true });

/** Where the local fleet's token secret stands, readable by its owner alone. */
export const secretFile = (state: string): string => join(state, 'secret');

/** Where the key stands that the local fleet's registry seals receivers' secrets with, likewise. */
export const sealingKeyFile = (state: string): string => join(state, 'secrets-keys');

/** Makes the secret and the sealing key where there are none yet. */
export function ensureSecrets(state: string): void {
  mkdirSync(state, { recursive: true });
  ensureFile(secretFile(state), () => randomBytes(32).toString('base64url'));
  ensureFile(sealingKeyFile(state), () => `local:${randomBytes(32).toString('base64')}`);
}

function ensureFile(path: string, make: () => string): void {
  if (!existsSync(path)) writeFileSync(path, make(), { mode: 0o600, flag: 'wx' });
  chmodSync(path, 0o600);
}
