import { defaultState, root } from '../local/state.ts';

/** A call of `pushfleet` that can be run as it stands, in any folder of this machine. */
export function commandLine(state: string, name: string, rest: string): string {
  const where = state === defaultState ? '' : ` --state ${quoted(state)}`;
  return `npx --prefix ${quoted(root)} pushfleet ${name}${where} ${rest}`;
}

/** As a shell takes it for one word. */
function quoted(text: string): string {
  return /^[\w./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
