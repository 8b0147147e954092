import { byteLength, parseNamespace, parseTopicFilter } from '@pushfleet/core';
import type {
  AcquireSessionRequest,
  SessionCommit,
  SessionKey,
  UpdateSessionRequest,
} from '@pushfleet/proto/pushfleet/registry/v1/sessions';
import { checkAtMost, checkCount, checkText, checkUnique, invalid } from '../subscriptions/check.ts';
import { sessionLimits } from './limits.ts';
import type { Key } from './record.ts';
import { checkWill } from './wills.ts';

// What requests say, checked; each throws PushfleetError `request_invalid`, unless it says otherwise.

const protocolShape = /^[a-z][a-z0-9-]*$/;
const instanceShape = /^[A-Za-z0-9_.-]+$/;

export function checkProtocol(protocol: string): void {
  const { protocolLength } = sessionLimits;
  if (protocol.length <= protocolLength && protocolShape.test(protocol)) return;
  throw invalid(
    `"protocol" is 1 to ${protocolLength} small letters, digits or "-", such as "mqtt".`,
    protocolLength,
  );
}

/** @throws PushfleetError `forbidden` for the namespace */
export function readKey(key: SessionKey | undefined): Key {
  if (key === undefined) throw invalid('The request has no "key".');
  checkProtocol(key.protocol);
  checkText('id', key.id, 1, sessionLimits.idBytes);
  return { namespace: parseNamespace(key.namespace), protocol: key.protocol, id: key.id };
}

/** @throws PushfleetError as `checkWill`, too */
export function checkAcquire({ instanceId, subject, will }: AcquireSessionRequest): void {
  if (!instanceShape.test(instanceId) || instanceId.length > sessionLimits.instanceLength)
    throw invalid('"instance_id" is the name by which the fleet hears of the caller.');
  checkText('subject', subject, 1, sessionLimits.subjectBytes);
  checkWill(will);
}

/** @throws PushfleetError `filter_invalid`, and as `checkWill`, too */
export function checkUpdate({ addFilters, attributes, willChange }: UpdateSessionRequest): void {
  for (const { filter, group, options } of addFilters) {
    parseTopicFilter(filter);
    checkText('group', group, 0, sessionLimits.groupBytes);
    checkAtMost('options', options.length, sessionLimits.optionsBytes);
  }
  checkUnique(
    'add_filters',
    addFilters.map(({ filter, group }) => `${group}\0${filter}`),
  );
  if (willChange?.$case === 'will') checkWill(willChange.will);
  const entries = Object.entries(attributes);
  checkCount('attributes', entries.length, 0, sessionLimits.attributes);
  for (const [name, value] of entries) {
    checkText('attributes', name, 1, sessionLimits.attributeNameBytes);
    checkAtMost('attributes', value.length, sessionLimits.attributeBytes);
  }
}

/** The keys of the commits, in their order. */
export function checkCommits(commits: readonly SessionCommit[]): readonly Key[] {
  checkCount('commits', commits.length, 0, sessionLimits.commits);
  const keys = commits.map((commit) => {
    checkFields(commit);
    return readKey(commit.key);
  });
  const names = new Set(keys.map(({ namespace, protocol, id }) => `${namespace}/${protocol}/${id}`));
  if (names.size < keys.length) throw invalid('"commits" has a session twice.');
  return keys;
}

function checkFields({ putFields, removeFields }: SessionCommit): void {
  const puts = Object.entries(putFields);
  checkCount('put_fields and remove_fields', puts.length + removeFields.length, 0, sessionLimits.fields);
  for (const [name, value] of puts) {
    checkName(name);
    checkAtMost('put_fields', value.length, sessionLimits.fieldBytes);
  }
  for (const name of removeFields) {
    checkName(name);
    if (Object.hasOwn(putFields, name)) throw invalid('A field is put and removed at once.');
  }
  checkUnique('remove_fields', removeFields);
}

function checkName(name: string): void {
  const { fieldNameBytes } = sessionLimits;
  if (name !== '' && byteLength(name) <= fieldNameBytes) return;
  throw invalid(`The name of a field is 1 to ${fieldNameBytes} bytes of UTF-8.`, fieldNameBytes);
}
