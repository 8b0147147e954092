import { PushfleetError, quote } from '@pushfleet/core';

/** Up to where the matches of a publication have been given. */
export interface Position {
  /** `0`: those that want order; `1`: those that do not, who come behind all of them. */
  readonly region: '0' | '1';
  /** The last that was given; empty: none of this region. */
  readonly id: string;
  /** The namespace's revision when the first page was given. */
  readonly revision: number;
}

const shape = /^([0-9a-z]{1,11})\.([01])([A-Za-z0-9_-]{0,64})$/;

export const formatToken = ({ region, id, revision }: Position): string =>
  `${revision.toString(36)}.${region}${id}`;

/** Undefined: from the beginning. @throws PushfleetError `request_invalid` */
export function parseToken(text: string): Position | undefined {
  if (text === '') return undefined;
  const [, revision, region, id] = shape.exec(text) ?? [];
  if (revision === undefined || region === undefined || id === undefined) {
    throw new PushfleetError(
      'request_invalid',
      `${quote(text)} is no page token of this fleet. Use one exactly as it was received, or leave it out to begin.`,
    );
  }
  return { region: region as '0' | '1', id, revision: Number.parseInt(revision, 36) };
}
