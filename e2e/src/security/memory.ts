import { readFileSync } from 'node:fs';
import type { ServiceProcess } from '@pushfleet/contract';

/** The most resident memory that a process has had, in bytes; undefined where the system does not say. */
export function peakOf({ pid }: ServiceProcess): number | undefined {
  if (process.platform !== 'linux') return undefined;
  const kilobytes = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  return Number(kilobytes) * 1_024;
}
