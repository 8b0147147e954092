import { verdict } from './columns.ts';
import { type MqttTable, over, type Row, ratios, spread, usPerDelivery, usPerVisit } from './results.ts';

/** Most CPU time of mosquitto's for a delivery of a fan-out, by QoS. */
const mostOfMosquitto = [1.3, 1.5] as const;
const mostKilobytes = 14;

/** What Pushfleet has to reach of MQTT. */
export function mqttBars(table: MqttTable): string[] {
  const { title } = table.scenario;
  if (table.kind === 'mqttConnect') return aheadOfAedes(title, table.rows, usPerVisit);
  if (table.kind === 'mqttFlow') {
    const { name, qos } = table.scenario;
    const most = name === 'mqttTopics' ? undefined : mostOfMosquitto[qos];
    return [
      ...(most === undefined ? [] : besideMosquitto(title, table.rows, most)),
      ...aheadOfAedes(title, table.rows, usPerDelivery),
    ];
  }
  const fleet = find(table.rows, 'pushfleet');
  if (fleet === undefined) return [];
  const kilobytes = over(fleet, (idle) => idle.perConnection / 1000).median;
  const text = `${kilobytes.toFixed(1)} KB a connection: ${title}; at most ${mostKilobytes} wanted`;
  return [verdict(kilobytes <= mostKilobytes, text)];
}

function besideMosquitto<R extends Parameters<typeof usPerDelivery>[0]>(
  title: string,
  rows: readonly Row<R>[],
  most: number,
): string[] {
  const times = timesOf(rows, 'mosquitto', usPerDelivery);
  if (times === undefined) return [];
  const text = `${title}: ${times.toFixed(2)} × mosquitto's CPU time a delivery; at most ${most} wanted`;
  return [verdict(times <= most, text)];
}

function aheadOfAedes<R>(title: string, rows: readonly Row<R>[], of: (result: R) => number): string[] {
  const times = timesOf(rows, 'aedes', of);
  if (times === undefined) return [];
  return [verdict(times < 1, `${title}: ${times.toFixed(2)} × aedes' CPU time; less than 1 wanted`)];
}

/** The median, taken repetition by repetition. */
function timesOf<R>(rows: readonly Row<R>[], peer: string, of: (result: R) => number): number | undefined {
  const [fleet, other] = [find(rows, 'pushfleet'), find(rows, peer)];
  return fleet === undefined || other === undefined ? undefined : spread(ratios(fleet, other, of)).median;
}

const find = <R>(rows: readonly Row<R>[], target: string) => rows.find((row) => row.target === target);
