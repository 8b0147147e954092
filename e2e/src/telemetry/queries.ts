import { globSync, readFileSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';

const root = resolve(import.meta.dirname, '../../..');
export const alertsFile = join(root, 'deploy/prometheus/alerts.yml');

/** A query and where it stands. */
export interface Query {
  readonly of: string;
  readonly expression: string;
  /** As the panel names its lines; nothing in an alert. */
  readonly legend: string;
}

export interface Panel {
  readonly dashboard: string;
  readonly title: string;
  readonly type: string;
  readonly unit: string;
  readonly queries: readonly Query[];
}

interface StoredPanel {
  readonly type: string;
  readonly title: string;
  readonly fieldConfig: { readonly defaults: { readonly unit: string } };
  readonly targets: readonly { readonly expr: string; readonly legendFormat: string }[];
}

/** Every panel of every dashboard that asks something. */
export function readPanels(): Panel[] {
  return globSync(join(root, 'deploy/grafana/dashboards/*.json'))
    .toSorted()
    .flatMap((path) => {
      const { panels } = JSON.parse(readFileSync(path, 'utf8')) as { panels: StoredPanel[] };
      const dashboard = basename(path, '.json');
      return panels
        .filter(({ type }) => type !== 'row')
        .map(({ type, title, fieldConfig, targets }) => ({
          ...{ dashboard, type, title, unit: fieldConfig.defaults.unit },
          queries: targets.map(({ expr, legendFormat }) => ({
            of: `${dashboard}: ${title}`,
            // What Grafana puts there from the scrape interval.
            expression: expr.replaceAll('$__rate_interval', '10s'),
            legend: legendFormat,
          })),
        }));
    });
}

/** An alert's expression without the bound at which it fires: what it looks at. */
export const withoutBound = (expression: string): string =>
  expression.replace(/\s(==|!=|>|<|>=|<=)\s[^<>=]+$/, '').trim();

const name = /\b(?:pushfleet|process)_[a-z_]+\b|\bup\b/g;

/** The metrics that an expression names. */
export const metricsOf = (expression: string): string[] => [...new Set(expression.match(name) ?? [])];

/** The labels that an expression names: in its selectors, and those that it groups by. */
export function labelsOf(expression: string): string[] {
  const selected = [...expression.matchAll(/\{([^}]*)\}/g)].flatMap(([, inner = '']) =>
    [...inner.matchAll(/(\w+)\s*(?:=~|!~|!=|=)/g)].map(([, label = '']) => label),
  );
  const grouped = [...expression.matchAll(/\bby\s*\(([^)]*)\)/g)].flatMap(([, inner = '']) =>
    inner.split(',').map((label) => label.trim()),
  );
  return [...new Set([...selected, ...grouped])];
}

/** The labels of every metric in the table of docs/operations.md. */
export function documentedLabels(): Map<string, string[]> {
  const text = readFileSync(join(root, 'docs/operations.md'), 'utf8');
  const rows = text.matchAll(/`((?:pushfleet|process)_[a-z_]+)(?:\{([^}]*)\})?`/g);
  const labels = new Map<string, string[]>();
  for (const [, metric = '', inner] of rows) {
    const known = labels.get(metric) ?? [];
    labels.set(metric, [...known, ...(inner?.split(',').map((label) => label.split('=')[0] ?? '') ?? [])]);
  }
  return labels;
}

/** The anchors of the headings of docs/operations.md, as they are linked. */
export function anchors(): Set<string> {
  const text = readFileSync(join(root, 'docs/operations.md'), 'utf8');
  const slug = (heading: string): string =>
    heading
      .toLowerCase()
      .replace(/[^\w\- ]/g, '')
      .replaceAll(' ', '-');
  return new Set([...text.matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) => slug(heading)));
}
