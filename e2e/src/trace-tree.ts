import type { CollectedSpan } from '@pushfleet/contract';

/** A span with those below it. */
export interface Tree {
  readonly span: CollectedSpan;
  readonly below: readonly Tree[];
}

/** The trees that spans form; one whose parent did not arrive is a root of its own. */
export function treesOf(spans: readonly CollectedSpan[]): readonly Tree[] {
  const ids = new Set(spans.map(({ spanId }) => spanId));
  const under = (parent: string | undefined): readonly Tree[] =>
    spans
      .filter((span) => (ids.has(span.parentSpanId ?? '') ? span.parentSpanId : undefined) === parent)
      .map((span) => ({ span, below: under(span.spanId) }));
  return under(undefined);
}

/** Nested names, siblings of one name numbered, in alphabetical order. */
interface Shape {
  readonly [name: string]: Shape;
}

export function shape({ span, below }: Tree): Shape {
  return { [nameOf(span)]: Object.assign({}, ...numbered(below.map(shape))) as Shape };
}

function nameOf({ name, resource, attributes }: CollectedSpan): string {
  const feeds = Number(attributes['pushfleet.feeds']);
  const detail = Number.isNaN(feeds) ? '' : ` (${feeds} ${feeds === 1 ? 'feed' : 'feeds'})`;
  return `${resource['service.name']}: ${name}${detail}`;
}

function numbered(shapes: readonly Shape[]): readonly Shape[] {
  const seen = new Map<string, number>();
  return shapes
    .map((one) => Object.entries(one)[0] as [string, Shape])
    .toSorted(([one], [other]) => (one < other ? -1 : 1))
    .map(([name, below]) => {
      const count = (seen.get(name) ?? 0) + 1;
      seen.set(name, count);
      return { [count === 1 ? name : `${name} (${count})`]: below };
    });
}
