import { isMap, isScalar, type Node, type Pair, parseDocument, type YAMLMap } from 'yaml';

interface Row {
  readonly key: string;
  readonly value: Node | null;
  readonly doc: string;
}

/** Every value that has a comment of two dashes, in the order of the file. */
function rows(map: YAMLMap, path: readonly string[]): readonly Row[] {
  return map.items.flatMap((pair, index) => {
    const { key, value } = pair as Pair<Node, Node | null>;
    const keys = [...path, String((key as { value?: unknown }).value)];
    // The library hands the comment above the first entry of a map to the map.
    const comment = key.commentBefore ?? (index === 0 ? map.commentBefore : undefined) ?? '';
    const own = comment.split('\n').findLast((line) => line.startsWith(' -- '));
    if (own !== undefined) return [{ key: keys.join('.'), value, doc: own.slice(4) }];
    if (isMap(value)) return rows(value, keys);
    throw new Error(`values.yaml: ${keys.join('.')} has no comment that begins with two dashes.`);
  });
}

function fallback(value: Node | null): string {
  if (value === null) return '';
  const plain = isScalar(value) ? value.value : (value.toJSON() as unknown);
  const written = JSON.stringify(plain);
  return `\`${written.replaceAll('|', '\\|')}\``;
}

/** The table of values, from the comments of values.yaml. @throws Error naming values without one */
export function valuesTable(values: string): string {
  const { contents } = parseDocument(values);
  if (!isMap(contents)) throw new Error('values.yaml is no map.');
  const found = rows(contents as YAMLMap, []);
  const lines = found.map(
    ({ key, value, doc }) => `| \`${key}\` | ${fallback(value)} | ${doc.replaceAll('|', '\\|')} |`,
  );
  return ['| Value | Default | Meaning |', '|---|---|---|', ...lines].join('\n');
}

export const readmeIntroduction = `<!-- Written by helm/src/generate.ts from README.head.md and the comments of values.yaml; change those. -->
`;
