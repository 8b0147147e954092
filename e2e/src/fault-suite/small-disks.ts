import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { open, rm, statfs } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const noSpace = 'ENOSPC';

/** A file system of its own, in memory, that can be filled to its last byte. */
export class SmallDisk {
  readonly folder: string;

  private constructor(folder: string) {
    this.folder = folder;
  }

  /** @throws Error where this process may not mount, which takes root */
  static async mount(bytes: number): Promise<SmallDisk> {
    const folder = mkdtempSync(join(tmpdir(), 'pushfleet-disk-'));
    try {
      await run('mount', ['-t', 'tmpfs', '-o', `size=${bytes}`, 'pushfleet-disk', folder]);
    } catch (error) {
      rmSync(folder, { recursive: true });
      throw error;
    }
    return new SmallDisk(folder);
  }

  get #ballast(): string {
    return join(this.folder, 'ballast');
  }

  /** How much of it is taken, in bytes. */
  async used(): Promise<number> {
    const { blocks, bfree, bsize } = await statfs(this.folder);
    return (blocks - bfree) * bsize;
  }

  /** Takes all that is left. */
  async fill(): Promise<void> {
    const file = await open(this.#ballast, 'a');
    try {
      for (let size = 1 << 22; size >= 512; ) {
        const { bytesWritten } = await file.write(Buffer.alloc(size)).catch((error) => {
          if (error.code !== noSpace) throw error;
          return { bytesWritten: 0 };
        });
        if (bytesWritten < size) size /= 2;
      }
    } finally {
      await file.close();
    }
  }

  async free(): Promise<void> {
    await rm(this.#ballast, { force: true });
  }

  async unmount(): Promise<void> {
    // Lazily: a process that was killed a moment ago may still hold a file.
    await run('umount', ['--lazy', this.folder]);
    rmSync(this.folder, { recursive: true });
  }
}
