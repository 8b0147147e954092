import { PushfleetError, quote } from '@pushfleet/core';

export interface GroupTerms {
  /** How long a publication stays with a member that died, in milliseconds; one that lives extends it. */
  readonly leaseMs: number;
}

export const groupTerms: GroupTerms = { leaseMs: 10_000 };

const groupName = /^[A-Za-z0-9_-]{1,64}$/;

/** @throws PushfleetError `request_invalid` */
export function checkGroup(group: string): void {
  if (groupName.test(group)) return;
  throw new PushfleetError(
    'request_invalid',
    `${quote(group)} is not a group: 1 to 64 letters, digits, "_" or "-".`,
  );
}
