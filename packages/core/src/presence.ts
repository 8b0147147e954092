import { base64Of, isJsonType, isText, textOf } from './content.ts';
import { writeJson } from './json-text.ts';
import type { Topic } from './topic.ts';

/** How somebody is present. */
export type PresenceStatus = 'online' | 'away' | 'busy';

export const presenceStatuses: readonly PresenceStatus[] = ['online', 'away', 'busy'];

/** What happened to a member of a topic: `expired`, it went without saying so. */
export type PresenceKind = 'entered' | 'updated' | 'left' | 'expired';

/** Small state of the application's own. */
export interface MemberState {
  /** At most `limits.presenceStateBytes`. */
  readonly state: Uint8Array;
  /** Empty where there is no state. */
  readonly stateContentType: string;
}

/** Who is on a topic, and how. */
export interface Member extends MemberState {
  /** The `sub` of the member's token. */
  readonly subject: string;
  /** Tells the clients of one subject apart. */
  readonly client: string;
  readonly status: PresenceStatus;
  /** When it entered, Unix time in milliseconds. */
  readonly since: number;
  /** When status or state last changed, Unix time in milliseconds. */
  readonly changed: number;
  /** When it leaves by itself unless entered again, Unix time in milliseconds; absent: with its edge. */
  readonly expiresAt?: number;
  /** Grows with every change of this member, also over leaving and entering again. A safe integer. */
  readonly revision: number;
}

/** `$presence/`, below which the changes of a topic's members are published. Only the fleet publishes there. */
export const presencePrefix = '$presence/';

/** Where the changes of this topic's members are published. */
export const presenceTopic = (topic: Topic): Topic => `${presencePrefix}${topic}` as Topic;

/**
 * A member as JSON says it on every protocol, one line: `subject`, `client`, `status`, `state`, `since`, `changed`,
 * `revision`. State that is JSON is the value itself, other text is a string, the rest is `stateBase64`; what is not
 * JSON has its `stateContentType`, and who has no state has none of the three. Times are RFC 3339.
 */
export const encodeMember = (member: Member): string => `{${membersOf(member, member.status)}}`;

/** A change as it is published: a member behind `kind`; who left has the status `offline`. */
export function encodePresenceChange(kind: PresenceKind, member: Member): string {
  const gone = kind === 'left' || kind === 'expired';
  return `{"kind":"${kind}",${membersOf(member, gone ? 'offline' : member.status)}}`;
}

/** State that came as a JSON value; undefined is none. @throws PushfleetError `request_invalid` where it is nested too deeply */
export function stateOfJson(value: unknown): MemberState {
  if (value === undefined) return noState;
  return { state: Buffer.from(writeJson(value)), stateContentType: 'application/json' };
}

const noState: MemberState = Object.freeze({ state: new Uint8Array(0), stateContentType: '' });

function membersOf(member: Member, status: PresenceStatus | 'offline'): string {
  const { subject, client, since, changed, revision } = member;
  const names = `"subject":${JSON.stringify(subject)},"client":${JSON.stringify(client)},"status":"${status}"`;
  const times = `"since":"${timeOf(since)}","changed":"${timeOf(changed)}","revision":${revision}`;
  return `${names},${stateMember(member)}${times}`;
}

const timeOf = (ms: number): string => new Date(ms).toISOString();

function stateMember({ state, stateContentType: contentType }: MemberState): string {
  if (state.length === 0) return '';
  const text = isText({ contentType, payload: state }) ? textOf(state) : undefined;
  if (text !== undefined && isJsonType(contentType) && isJson(text)) {
    // Between the tokens of JSON a line break is white space; inside a string it is escaped.
    return `"state":${text.replace(/[\r\n]+/g, ' ')},`;
  }
  const type = `"stateContentType":${JSON.stringify(contentType)},`;
  if (text === undefined || isJsonType(contentType)) return `"stateBase64":"${base64Of(state)}",${type}`;
  return `"state":${JSON.stringify(text)},${type}`;
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
