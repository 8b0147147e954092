import type { DetailedPeerCertificate, PeerCertificate } from 'node:tls';
import { defaultNamespace, type Namespace, PushfleetError, parseNamespace, quote } from '@pushfleet/core';
import { createGrant, type Grant } from './grant.ts';
import { fillIn, type GrantTemplates, parseGrants } from './grants.ts';

/** What the certificates of clients allow that are about one kind of client. */
export interface CertificateRule {
  /** Which of a certificate's names is the subject: one of its subject's, or of the alternative names. */
  readonly subject: SubjectName;
  /** Names that the certificate's subject must have, with these very texts. */
  readonly require: Readonly<Record<string, string>>;
  /** SHA-256 of a certificate that the chain must have, in hexadecimal digits without colons; absent: any authority. */
  readonly authority: string | undefined;
  readonly namespace: Namespace;
  readonly grants: GrantTemplates;
}

const subjectNames = ['CN', 'DNS', 'URI', 'email'] as const;
type SubjectName = (typeof subjectNames)[number];

const members = ['subject', 'require', 'authority', 'namespace', 'grants'];

/**
 * Reads a list such as `[{"subject": "CN", "grants": {"publish": ["devices/{sub}/#"]}}]`.
 *
 * @throws Error naming the entry and the rule it breaks
 */
export function parseCertificateRules(text: string): readonly CertificateRule[] {
  let list: unknown;
  try {
    list = JSON.parse(text);
  } catch (error) {
    throw new Error(`it is not JSON: ${(error as Error).message}`);
  }
  if (!Array.isArray(list)) throw new Error('it is no list');
  return list.map((entry: unknown, index) => {
    try {
      return parseRule(entry);
    } catch (error) {
      throw new Error(`entry ${index + 1} ${(error as Error).message}`);
    }
  });
}

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const isTextMap = (value: unknown): value is Readonly<Record<string, string>> =>
  isObject(value) && Object.values(value).every((one) => typeof one === 'string' && one !== '');

function parseRule(entry: unknown): CertificateRule {
  if (!isObject(entry)) throw new Error('is no object');
  const unknown = Object.keys(entry).find((name) => !members.includes(name));
  if (unknown !== undefined) throw new Error(`has the unknown member ${quote(unknown)}`);
  const { subject, require = {}, authority, namespace, grants } = entry;
  if (!subjectNames.includes(subject as SubjectName)) {
    throw new Error(`has a "subject" that is none of ${subjectNames.join(', ')}`);
  }
  if (!isTextMap(require))
    throw new Error('has a "require" that is no object of names and the texts they must have');
  const templates = parseGrants(grants);
  // Whatever is wrong with a filter is so for every subject.
  fillIn(templates, 'subject');
  return {
    subject: subject as SubjectName,
    require,
    authority: parseAuthority(authority),
    namespace: parseName(namespace),
    grants: templates,
  };
}

function parseAuthority(value: unknown): string | undefined {
  if (value === undefined) return undefined;
  const digits = typeof value === 'string' ? hexOf(value) : '';
  if (/^[0-9a-f]{64}$/.test(digits)) return digits;
  throw new Error(
    'has an "authority" that is no SHA-256 fingerprint: 64 hexadecimal digits, with or without colons',
  );
}

function parseName(value: unknown): Namespace {
  if (value === undefined) return defaultNamespace;
  try {
    return parseNamespace(typeof value === 'string' ? value : '');
  } catch {
    throw new Error('has a "namespace" that is none: 1 to 64 letters, digits, "_" or "-"');
  }
}

/** As openssl and Node write it, `AB:CD:…`. */
const hexOf = (fingerprint: string): string => fingerprint.replaceAll(':', '').toLowerCase();

/**
 * What a client may do whose certificate was verified; undefined where no rule is about it. The first that is counts.
 *
 * @param certificate with its chain where a rule names an authority
 * @throws PushfleetError `unauthenticated` where its subject cannot stand in the grants, `token_expired` where it has
 *   run out meanwhile
 */
export function certificateGrant(
  rules: readonly CertificateRule[],
  certificate: DetailedPeerCertificate,
  now: number,
): Grant | undefined {
  for (const rule of rules) {
    const subject = isAbout(rule, certificate) ? nameOf(certificate, rule.subject) : undefined;
    if (subject !== undefined) return grantOf(rule, certificate, { subject, now });
  }
  return undefined;
}

function grantOf(
  { namespace, grants }: CertificateRule,
  { fingerprint256, valid_from: from, valid_to: to }: PeerCertificate,
  { subject, now }: { readonly subject: string; readonly now: number },
): Grant {
  const fingerprint = hexOf(fingerprint256);
  const facts = {
    ...{ subject, namespace, expiresAt: Date.parse(to), issuedAt: Date.parse(from), tokenId: fingerprint },
    tokenDigest: Buffer.from(fingerprint, 'hex').toString('base64url').slice(0, 16),
  };
  if (!(now < facts.expiresAt))
    throw new PushfleetError('token_expired', 'The certificate has expired; get a new one.');
  try {
    return createGrant(facts, fillIn(grants, subject));
  } catch (error) {
    throw new PushfleetError(
      'unauthenticated',
      `The certificate ${(error as Error).message}. The operator has to change that.`,
    );
  }
}

function isAbout({ require, authority }: CertificateRule, certificate: DetailedPeerCertificate): boolean {
  const { subject } = certificate;
  const fits = Object.entries(require).every(([name, text]) => attributeOf(subject, name) === text);
  return fits && (authority === undefined || chainOf(certificate).includes(authority));
}

/** Fingerprints of those that signed it, the last of which signed itself. */
function chainOf(certificate: DetailedPeerCertificate): readonly string[] {
  const fingerprints: string[] = [];
  let at: DetailedPeerCertificate | undefined = certificate.issuerCertificate;
  while (at !== undefined && !fingerprints.includes(hexOf(at.fingerprint256))) {
    fingerprints.push(hexOf(at.fingerprint256));
    at = at.issuerCertificate;
  }
  return fingerprints;
}

/** Undefined where it is not there, or there several times: whose the certificate is must not depend on a choice. */
function nameOf(certificate: PeerCertificate, name: SubjectName): string | undefined {
  const text = name === 'CN' ? attributeOf(certificate.subject, name) : alternativeName(certificate, name);
  return text === '' ? undefined : text;
}

function attributeOf(subject: PeerCertificate['subject'], name: string): string | undefined {
  // Several of one name come as a list.
  const value: unknown = Object.hasOwn(subject, name) ? subject[name as 'CN'] : undefined;
  return typeof value === 'string' ? value : undefined;
}

// Node writes "DNS:a.example, URI:urn:b"; what has characters that could be taken for the list's own is a JSON text.
const alternative = /([A-Za-z0-9 .]+):("(?:[^"\\]|\\.)*"|[^",]*)(?:, |$)/y;

function alternativeName(
  { subjectaltname: text = '' }: PeerCertificate,
  kind: SubjectName,
): string | undefined {
  const found: string[] = [];
  alternative.lastIndex = 0;
  while (alternative.lastIndex < text.length) {
    const [, type, value = ''] = alternative.exec(text) ?? [];
    const name = type === undefined ? undefined : unquoted(value);
    // What is not understood to its end is not used at all.
    if (name === undefined) return undefined;
    if (type === kind) found.push(name);
  }
  return found.length === 1 ? found[0] : undefined;
}

function unquoted(value: string): string | undefined {
  if (!value.startsWith('"')) return value;
  try {
    return JSON.parse(value) as string;
  } catch {
    return undefined;
  }
}
