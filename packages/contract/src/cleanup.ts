import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const folders = new Set<string>();
const children = new Set<number>();

// A test file that fails, times out or is interrupted leaves neither servers nor their files behind.
process.once('exit', () => {
  for (const pid of children) kill(pid);
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});
for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => process.exit(1));

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It is gone already.
  }
}

/** Ends with this process, unless it has `exited` before. */
export function endWithUs(child: { readonly pid: number; readonly exited: Promise<unknown> }): void {
  children.add(child.pid);
  void child.exited.then(() => children.delete(child.pid));
}

/** An empty folder that is removed when this process ends. */
export function temporaryFolder(name: string): string {
  const folder = mkdtempSync(join(tmpdir(), `pushfleet-${name}-`));
  folders.add(folder);
  return folder;
}
