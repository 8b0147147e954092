import { createHmac, hash } from 'node:crypto';
import { defaultNamespace, parseNamespace } from '@pushfleet/core';
import { createGrant, FileError, fillIn, type Grant, type GrantFacts, parseGrants } from '@pushfleet/runtime';
import { nameBytes, type ScramUser, type Verifier } from './scram.ts';

// Who may log in by SCRAM-SHA-256, as an operator declares it.

/** Most users of a file. */
const mostUsers = 10_000;
/** RFC 7677 section 4 has 4,096 as the least. */
const iterations = { least: 4_096, most: 1_000_000 };
/** In bytes. */
const saltBytes = { least: 8, most: 64 };

/** Largest file, in bytes. */
export const scramFileBytes = 16_777_216;

/** `{user, namespace?, verifier, grants}` of each. @throws FileError naming the entry and the rule, and no secret */
export function parseScramUsers(text: string): readonly ScramUser[] {
  let list: unknown;
  try {
    list = JSON.parse(text);
  } catch {
    // JSON.parse quotes the text it stumbled over, which may be a verifier.
    throw new FileError(['It is not JSON.']);
  }
  if (!Array.isArray(list)) throw new FileError(['It is no list.']);
  if (list.length > mostUsers) throw new FileError([`It has more than ${mostUsers} entries.`]);
  const names = new Set<string>();
  return list.map((entry: unknown, index) => {
    try {
      const user = readUser(entry);
      if (names.has(user.name)) throw new Error('has a "user" that another entry has');
      names.add(user.name);
      return user;
    } catch (error) {
      throw new FileError([`Entry ${index + 1} ${(error as Error).message}.`]);
    }
  });
}

const members = ['user', 'namespace', 'verifier', 'grants'];

function readUser(entry: unknown): ScramUser {
  if (typeof entry !== 'object' || entry === null || Array.isArray(entry)) throw new Error('is no object');
  const { user: name, namespace, verifier: text, grants } = entry as Readonly<Record<string, unknown>>;
  const unknown = Object.keys(entry).find((member) => !members.includes(member));
  if (unknown !== undefined)
    throw new Error(`has the unknown member ${JSON.stringify(unknown.slice(0, 40))}`);
  if (typeof name !== 'string' || !/^[\x20-\x7e]+$/.test(name) || name.length > nameBytes) {
    throw new Error(`has a "user" that is not 1 to ${nameBytes} characters of printable ASCII`);
  }
  const verifier = parseVerifier(text);
  return {
    name,
    verifier,
    grant: grantOf(name, namespace, verifier, grants),
    declared: JSON.stringify(entry),
  };
}

/**
 * The grant of whoever knows the password. It ends with a revocation of its subject, or of a connection. It has no time of
 * issue, so a revocation of what was issued before any time ends it, too.
 */
function grantOf(name: string, namespace: unknown, { salt }: Verifier, grants: unknown): Grant {
  const facts = {
    subject: name,
    namespace: namespace === undefined ? defaultNamespace : readNamespace(namespace),
    expiresAt: 8.64e15,
  };
  // Of what is no secret, since it is shown; another password comes with another salt.
  const named = JSON.stringify([facts.namespace, name, salt.toString('base64')]);
  const tokenDigest = hash('sha256', named, 'base64url').slice(0, 16);
  return createGrant({ ...facts, tokenDigest }, fillIn(parseGrants(grants), name));
}

function readNamespace(value: unknown) {
  try {
    return parseNamespace(typeof value === 'string' ? value : '');
  } catch (error) {
    throw new Error(`has a "namespace" that cannot be used (${(error as Error).message})`);
  }
}

const form = /^SCRAM-SHA-256\$(\d{1,7}):([A-Za-z0-9+/]+={0,2})\$([A-Za-z0-9+/]{43}=):([A-Za-z0-9+/]{43}=)$/;

/** `SCRAM-SHA-256$<iterations>:<salt>$<stored key>:<server key>` (RFC 5803), which PostgreSQL keeps as well. */
function parseVerifier(text: unknown): Verifier {
  const [, count, salt64 = '', stored64 = '', server64 = ''] =
    (typeof text === 'string' && form.exec(text)) || [];
  if (count === undefined) {
    throw new Error(
      'has a "verifier" that is not "SCRAM-SHA-256$<iterations>:<salt>$<stored key>:<server key>"',
    );
  }
  const salt = Buffer.from(salt64, 'base64');
  if (salt.length < saltBytes.least || salt.length > saltBytes.most) {
    throw new Error(`has a "verifier" whose salt is not ${saltBytes.least} to ${saltBytes.most} bytes`);
  }
  if (Number(count) < iterations.least || Number(count) > iterations.most) {
    throw new Error(
      `has a "verifier" with less than ${iterations.least} or more than ${iterations.most} iterations`,
    );
  }
  return {
    ...{ iterations: Number(count), salt },
    storedKey: Buffer.from(stored64, 'base64'),
    serverKey: Buffer.from(server64, 'base64'),
  };
}

/** What names are challenged with while nobody is declared. */
const usual = { iterations: iterations.least, saltBytes: 16 };

/** Users by name, and what those are told who are none of them. */
export class ScramUsers {
  readonly #key: Buffer;
  #users: readonly ScramUser[] = [];
  #byName: ReadonlyMap<string, ScramUser> = new Map();
  /** Of all users that were there. */
  readonly #grants = new WeakSet<GrantFacts>();

  /** @param key the same in all processes, and known to nobody else */
  constructor(key: Buffer) {
    this.#key = key;
  }

  /** Puts others in their place; who is declared as before keeps its grant. */
  replace(users: readonly ScramUser[]): void {
    const before = this.#byName;
    this.#users = users.map((user) => {
      const known = before.get(user.name);
      return known?.declared === user.declared ? known : user;
    });
    this.#byName = new Map(this.#users.map((user) => [user.name, user]));
    for (const { grant } of this.#users) this.#grants.add(grant);
  }

  find(name: string): ScramUser | undefined {
    return this.#byName.get(name);
  }

  /** Whether it is the grant of a user who is not declared so any more. */
  outdated(grant: GrantFacts): boolean {
    return this.#grants.has(grant) && this.#byName.get(grant.subject)?.grant !== grant;
  }

  /** As one of the users has it, by length of salt and iterations; no password fits it. */
  pretend(name: string): Verifier {
    const at = this.#derive(`shape ${name}`).readUInt32BE();
    const { iterations: count, salt } = this.#users[at % this.#users.length]?.verifier ?? {};
    return {
      iterations: count ?? usual.iterations,
      salt: this.#derive(`salt ${name}`).subarray(0, salt?.length ?? usual.saltBytes),
      storedKey: this.#derive(`stored ${name}`).subarray(0, 32),
      serverKey: this.#derive(`server ${name}`).subarray(0, 32),
    };
  }

  #derive(what: string): Buffer {
    return createHmac('sha512', this.#key).update(what).digest();
  }
}
