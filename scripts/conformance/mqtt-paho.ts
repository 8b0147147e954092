import { join } from 'node:path';
import type { Played } from './mqtt-sequences.ts';
import type { Paho } from './mqtt-suites.ts';
import { Running } from './program.ts';

/** The suites take pauses, and wait for what does not come. */
const mostMs = 600_000;

/** Has one of paho's suites try a server on a port of this machine. @throws Error where it does not come to its end */
export async function playPaho(
  { python, folder }: Paho,
  module: string,
  port: number,
): Promise<readonly Played[]> {
  const program = { command: python, args: [join(import.meta.dirname, 'paho_run.py')], folder };
  const running = new Running(program, [folder, module, String(port)], {});
  const timer = setTimeout(() => void running.stop(), mostMs);
  const code = await running.ended;
  clearTimeout(timer);
  if (code !== 0) throw new Error(`${module} ended with ${code}: ${running.errors}`);
  return running.lines.flatMap((line) => {
    const [, word, name, why = ''] = /^(passed|failed|skipped) (test\w+) ?(.*)$/.exec(line) ?? [];
    if (name === undefined) return [];
    return { name: `${module} ${name}`, failure: word === 'passed' ? undefined : why || 'failed' };
  });
}
