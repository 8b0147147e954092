import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const page = fileURLToPath(new URL('../../docs/performance.md', import.meta.url));

/** Puts a chapter's results between its markers in docs/performance.md; the prose around them is left alone. */
export function writeChapter(chapter: string, results: string): void {
  const begin = `<!-- bench:${chapter} begin -->`;
  const end = `<!-- bench:${chapter} end -->`;
  const text = readFileSync(page, 'utf8');
  const from = text.indexOf(begin);
  const to = text.indexOf(end);
  if (from < 0 || to < from)
    throw new Error(`docs/performance.md has no ${begin} and ${end} to write between`);
  writeFileSync(page, `${text.slice(0, from + begin.length)}\n${results}\n${text.slice(to)}`);
}
