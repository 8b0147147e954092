import type { TraceContext } from '@pushfleet/core';

// W3C Trace Context (Level 2) sections 3.2 and 3.3, and W3C Baggage section 3.3. Whatever does not hold to them is
// passed over without a word: a trace is no part of what a request asks for.

/** The headers, or entries of gRPC metadata, as they came; several of one name joined with commas. */
export interface TraceHeaders {
  readonly traceparent?: string | undefined;
  readonly tracestate?: string | undefined;
  readonly baggage?: string | undefined;
}

/** A span of another process, which is to be the parent of one here. */
export interface RemoteParent {
  readonly traceId: string;
  readonly spanId: string;
  readonly sampled: boolean;
  readonly state?: string;
  readonly baggage?: string;
}

/** What baggage may be; past it, all of it is dropped. */
export interface BaggageLimits {
  readonly bytes: number;
  readonly entries: number;
}

const traceparent = /^([\da-f]{2})-([\da-f]{32})-([\da-f]{16})-([\da-f]{2})(-.*)?$/;
const sampledFlag = 1;

/** The parent that the headers name; undefined where there is none, or `traceparent` is malformed. */
export function readTrace(headers: TraceHeaders, limits: BaggageLimits): RemoteParent | undefined {
  const [, version, traceId = '', spanId = '', flags = '', more] =
    traceparent.exec(headers.traceparent ?? '') ?? [];
  // A later version may have more behind a dash; version ff is forbidden, and ids of zeros are invalid.
  const known = version !== undefined && version !== 'ff' && (version !== '00' || more === undefined);
  if (!known || /^0+$/.test(traceId) || /^0+$/.test(spanId)) return undefined;
  const state = readState(headers.tracestate);
  const baggage = readBaggage(headers.baggage, limits);
  return {
    traceId,
    spanId,
    sampled: (Number.parseInt(flags, 16) & sampledFlag) !== 0,
    ...(state !== undefined && { state }),
    ...(baggage !== undefined && { baggage }),
  };
}

/** Whether a text names a span, as the header does. */
export const isTraceparent = (text: string): boolean =>
  readTrace({ traceparent: text }, { bytes: 0, entries: 0 }) !== undefined;

/** The headers of a publication's trace, as `readTrace` takes them. */
export const headersOf = ({ parent, state, baggage }: TraceContext): TraceHeaders => ({
  traceparent: parent,
  tracestate: state,
  baggage,
});

// Section 3.3.1.5: at least 512 characters are to be propagated. Nobody gets more.
const stateBytes = 512;
const stateMembers = 32;
const stateMember =
  /^[a-z0-9][a-z0-9_\-*/@]{0,255}=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]$/;

function readState(text: string | undefined): string | undefined {
  if (text === undefined || text.length > stateBytes) return undefined;
  const members = membersOf(text);
  const valid = members.length > 0 && members.length <= stateMembers && members.every(isStateMember);
  return valid ? members.join(',') : undefined;
}

const isStateMember = (member: string): boolean => stateMember.test(member);

const baggageMember =
  /^[!#$%&'*+\-.^_`|~\da-zA-Z]+[ \t]*=[ \t]*[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]*[ \t]*(?:;[\x20-\x2b\x2d-\x7e\t]*)?$/;

function readBaggage(text: string | undefined, { bytes, entries }: BaggageLimits): string | undefined {
  if (text === undefined || text.length > bytes) return undefined;
  const members = membersOf(text);
  const valid = members.length > 0 && members.length <= entries && members.every(isBaggageMember);
  return valid ? members.join(',') : undefined;
}

const isBaggageMember = (member: string): boolean => baggageMember.test(member);

const membersOf = (text: string): string[] =>
  text
    .split(',')
    .map((member) => member.replace(/^[ \t]+|[ \t]+$/g, ''))
    .filter((member) => member !== '');
