import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';

/** A process that cannot be mistaken for a later one with the same number. */
export interface ProcessIdentity {
  readonly pid: number;
  /** When it began, in the operating system's own words; compared, never read. */
  readonly startedAt: string;
}

const linux = existsSync('/proc/self/stat');

/** Who has this number now; undefined where nobody has, or only a corpse that waits for its parent. */
export function identify(pid: number): ProcessIdentity | undefined {
  const startedAt = linux ? startOnLinux(pid) : startFromPs(pid);
  return startedAt === undefined ? undefined : { pid, startedAt };
}

/** Whether this very process still runs. */
export function isRunning(process: ProcessIdentity): boolean {
  return identify(process.pid)?.startedAt === process.startedAt;
}

// proc(5): the name in parentheses may hold anything, so fields are counted from the last parenthesis:
// state is the first behind it, start time (clock ticks since boot) the twentieth.
function startOnLinux(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' ? undefined : `${bootId()}:${fields[19]}`;
  } catch {
    return undefined;
  }
}

const bootId = (): string => readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();

function startFromPs(pid: number): string | undefined {
  try {
    const line = execFileSync('ps', ['-o', 'stat=,lstart=', '-p', String(pid)], { encoding: 'utf8' }).trim();
    const [state, ...start] = line.split(/\s+/);
    return line === '' || state?.startsWith('Z') ? undefined : start.join(' ');
  } catch {
    return undefined;
  }
}
