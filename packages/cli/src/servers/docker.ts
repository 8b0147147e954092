import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { must, run } from './run.ts';

/**
 * Copies an image's files into `target`/root. The server then runs as an ordinary process, with the signals,
 * files and ports of one, and no container is left behind.
 *
 * @returns the reason where Docker cannot
 */
export async function unpackImage(
  image: string,
  target: string,
  progress: (line: string) => void,
): Promise<string | undefined> {
  if (process.platform !== 'linux') return "an image's programs run on Linux alone";
  const info = await run('docker', ['info', '--format', '{{.ServerVersion}}']);
  if (info.code !== 0) return `Docker does not answer: ${info.stderr.trim().split('\n').at(-1)}`;
  progress(`Taking the server out of the image ${image} …`);
  const container = (await must('docker', ['create', image])).trim();
  const archive = join(target, 'image.tar');
  try {
    await must('docker', ['export', '--output', archive, container]);
  } finally {
    await run('docker', ['rm', container]);
  }
  mkdirSync(join(target, 'root'));
  await must('tar', ['-xf', archive, '-C', join(target, 'root'), '--exclude=dev/*', '--no-same-owner']);
  await must('rm', [archive]);
  return undefined;
}
