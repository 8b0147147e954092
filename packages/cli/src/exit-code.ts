import { type ErrorCode, PushfleetError } from '@pushfleet/core';

/** What the command tells a script. `--help` lists them. */
export const exitCode = {
  done: 0,
  /** The fleet refused, or something went wrong. */
  failed: 1,
  /** The arguments or the configuration are wrong. */
  usage: 2,
  /** The fleet does not run or is out of reach: the same command may work later. */
  unreachable: 3,
  /** The token is missing, not valid, or does not grant this. */
  denied: 4,
} as const;

const denied: readonly ErrorCode[] = ['unauthenticated', 'token_expired', 'token_revoked', 'forbidden'];
const unreachable: readonly ErrorCode[] = ['unavailable', 'draining', 'timeout'];

/** The exit code that an error ends the command with. */
export function exitCodeOf(error: unknown): number {
  if (!(error instanceof PushfleetError)) return exitCode.failed;
  if (denied.includes(error.code)) return exitCode.denied;
  return unreachable.includes(error.code) ? exitCode.unreachable : exitCode.failed;
}
