import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = new URL('../../', import.meta.url);

/** Puts a chapter's results between its markers in docs/performance.md. */
export const writeChapter = (chapter: string, results: string): void =>
  writeBetween('docs/performance.md', `bench:${chapter}`, results);

/** Puts results between their markers in a page; the prose around them is left alone. */
export function writeBetween(page: string, mark: string, results: string): void {
  const file = fileURLToPath(new URL(page, root));
  const begin = `<!-- ${mark} begin -->`;
  const end = `<!-- ${mark} end -->`;
  const text = readFileSync(file, 'utf8');
  const from = text.indexOf(begin);
  const to = text.indexOf(end);
  if (from < 0 || to < from) throw new Error(`${page} has no ${begin} and ${end} to write between`);
  writeFileSync(file, `${text.slice(0, from + begin.length)}\n${results}\n${text.slice(to)}`);
}
