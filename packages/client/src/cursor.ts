/**
 * Whether everything behind cursor `b` is behind cursor `a`, too; undefined where they cannot be compared.
 *
 * A cursor is opaque to programs, and the client only ever hands one back. It looks into two of them for one question: may
 * two connections become one? Where the form is unknown (a newer fleet, another generation of the log) the answer is
 * undefined, and they stay two.
 */
export function reaches(a: string, b: string): boolean | undefined {
  if (a === b) return true;
  const one = shape.exec(a);
  const other = shape.exec(b);
  if (one === null || other === null || one[1] !== other[1]) return undefined;
  const ahead = (one[2] as string).split('.');
  const behind = (other[2] as string).split('.');
  if (ahead.length !== behind.length || [...ahead, ...behind].includes('_')) return undefined;
  return ahead.every(
    (position, i) => Number.parseInt(position, 36) >= Number.parseInt(behind[i] as string, 36),
  );
}

// Generation, time, a position for each shard, "_" where there is none, and a name (packages/core/src/cursor.ts).
const shape = /^([0-9a-z]+)-[0-9a-z]+-([0-9a-z_.]+)(?:~[0-9a-z]*)?$/;
