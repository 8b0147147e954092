import { type Row, ratios, spread, type Table } from './results.ts';

/** What Pushfleet has to reach, and whether it did: one line each for what was measured. */
export function bars(tables: readonly Table[]): string[] {
  return tables.flatMap(({ scenario, rows }) => {
    const fleet = rows.find((row) => row.target === 'pushfleet');
    if (fleet === undefined) return [];
    if (scenario.name === 'idle') return [memoryBar(fleet)];
    const peer = rows.find((row) => row.target === 'nchan');
    const wanted = { fanout: 1, saturated: 3, topics: undefined }[scenario.name];
    if (peer === undefined || wanted === undefined) return [];
    return [ratioBar(scenario.title, wanted, fleet, peer)];
  });
}

function memoryBar(fleet: Row): string {
  const kilobytes = spread(fleet.idles.map((idle) => idle.perConnection / 1000)).median;
  return verdict(kilobytes <= 20, `${kilobytes.toFixed(1)} KB an idle connection; at most 20 wanted`);
}

function ratioBar(title: string, wanted: number, fleet: Row, peer: Row): string {
  const { median } = spread(ratios(fleet, peer));
  const text = `${median.toFixed(2)} × nchan's deliveries a CPU-second; at least ${wanted} × wanted`;
  return verdict(median >= wanted, `${title}: ${text}`);
}

const verdict = (met: boolean, text: string) => `${met ? 'met' : 'MISSED'}: ${text}`;
