/** What a range query answers for one series. */
export interface Line {
  readonly metric: Readonly<Record<string, string>>;
  readonly values: readonly (readonly [number, string])[];
}

export interface Drawing {
  readonly title: string;
  readonly unit: string;
  readonly lines: readonly { readonly label: string; readonly values: Line['values'] }[];
}

const width = 460;
const height = 250;
const box = { left: 64, right: 12, top: 34, bottom: 62 };
const colours = ['#3274d9', '#e0752d', '#56a64b', '#b877d9', '#e02f44', '#8a8a8a', '#1f9ea8', '#c9a100'];

/** Panels in three columns as one SVG, as a dashboard would show their queries. */
export function drawPanels(drawings: readonly Drawing[]): string {
  const rows = Math.ceil(drawings.length / 3);
  const inner = drawings.map((drawing, index) => {
    const [x, y] = [(index % 3) * width, Math.floor(index / 3) * height];
    return `<g transform="translate(${x},${y})">${drawPanel(drawing)}</g>`;
  });
  const size = `width="${3 * width}" height="${rows * height}"`;
  return `<svg xmlns="http://www.w3.org/2000/svg" ${size} font-family="sans-serif" font-size="11"><title>The fleet while it works</title><rect ${size} fill="#fff"/>\n${inner.join('\n')}\n</svg>\n`;
}

function drawPanel({ title, unit, lines }: Drawing): string {
  const points = lines.flatMap(({ values }) => values.map(([time, value]) => [time, Number(value)] as const));
  const finite = points.filter(([, value]) => Number.isFinite(value));
  const [from, to] = [Math.min(...finite.map(([t]) => t)), Math.max(...finite.map(([t]) => t))];
  const top = Math.max(...finite.map(([, value]) => value), 0) * 1.1 || 1;
  const x = (time: number): string =>
    (box.left + ((time - from) / (to - from || 1)) * (width - box.left - box.right)).toFixed(1);
  const y = (value: number): string =>
    (height - box.bottom - (value / top) * (height - box.top - box.bottom)).toFixed(1);
  const ticks = [0, 0.5, 1].map((part) => {
    const at = y(part * top);
    const text = `<text x="${box.left - 6}" y="${Number(at) + 4}" text-anchor="end" fill="#555">${readable(part * top, unit)}</text>`;
    return `<line x1="${box.left}" x2="${width - box.right}" y1="${at}" y2="${at}" stroke="#e4e4e4"/>${text}`;
  });
  const drawn = lines.map(({ values }, index) => {
    const path = values
      .filter(([, value]) => Number.isFinite(Number(value)))
      .map(([time, value]) => `${x(time)},${y(Number(value))}`);
    return `<polyline fill="none" stroke="${colour(index)}" stroke-width="1.5" points="${path.join(' ')}"/>`;
  });
  const legend = lines.slice(0, 9).map(({ label }, index) => {
    const [left, down] = [
      box.left + (index % 3) * 132,
      height - box.bottom + 18 + Math.floor(index / 3) * 15,
    ];
    return `<rect x="${left}" y="${down - 8}" width="8" height="8" fill="${colour(index)}"/><text x="${left + 12}" y="${down}" fill="#333">${escaped(label.slice(0, 20))}</text>`;
  });
  const frame = `<rect x="4" y="4" width="${width - 8}" height="${height - 8}" fill="none" stroke="#ccc" rx="3"/>`;
  return `${frame}<text x="14" y="22" font-size="13" font-weight="bold">${escaped(title)}</text>${ticks.join('')}${drawn.join('')}${legend.join('')}`;
}

const colour = (index: number): string => colours[index % colours.length] as string;

const escaped = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');

/** A number with three digits and the unit of its panel. */
function readable(value: number, unit: string): string {
  const short = (n: number): string => String(Number(n.toPrecision(3)));
  if (unit === 's') return value < 1 ? `${short(value * 1_000)} ms` : `${short(value)} s`;
  if (unit === 'percentunit') return `${short(value * 100)}%`;
  if (unit === 'bytes' || unit === 'Bps')
    return value >= 1_048_576 ? `${short(value / 1_048_576)} MiB` : `${short(value / 1_024)} KiB`;
  return unit === 'ops' || unit === 'reqps' ? `${short(value)}/s` : short(value);
}

/** The legend's template with the labels of a series. */
export const labelOf = (legend: string, metric: Line['metric']): string =>
  legend.replace(/\{\{(\w+)\}\}/g, (_, label: string) => (metric[label] ?? '').replace('127.0.0.1', ''));
