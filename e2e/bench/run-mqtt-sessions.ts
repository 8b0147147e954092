// The scenarios of MQTT's sessions, each on a fleet of its own with a registry.
import { runMqttFlow } from './mqtt/flow.ts';
import { type MqttRestResult, runMqttRest } from './mqtt/rest.ts';
import { type MqttResumeResult, runMqttResume } from './mqtt/resume.ts';
import { type Part, SessionFleet } from './mqtt/session-fleet.ts';
import type { MqttLasting, MqttRest, MqttResume, MqttSessionsScenario } from './mqtt-sessions-plan.ts';
import { type LastingResult, type Row, type Table, usPerFleetDelivery } from './results.ts';

type Say = (line: string) => void;

export function mqttSessionsTable(
  scenario: MqttSessionsScenario,
  nodeOptions: string | undefined,
  say: Say,
): Promise<Table> {
  if (scenario.kind === 'mqttRest') return restTable(scenario, nodeOptions, say);
  if (scenario.kind === 'mqttResume') return resumeTable(scenario, nodeOptions, say);
  return lastingTable(scenario, nodeOptions, say);
}

async function onFleet<R>(
  edges: number,
  nodeOptions: string | undefined,
  use: (fleet: SessionFleet) => Promise<R>,
): Promise<R> {
  const fleet = await SessionFleet.start(edges, nodeOptions);
  try {
    return await use(fleet);
  } finally {
    await fleet.stop();
  }
}

async function restTable(scenario: MqttRest, nodeOptions: string | undefined, say: Say): Promise<Table> {
  const row: Row<MqttRestResult> = { target: 'pushfleet', results: [] };
  for (let repetition = 1; repetition <= scenario.repetitions; repetition++) {
    const result = await onFleet(1, nodeOptions, (fleet) => runMqttRest(fleet, scenario));
    row.results.push(result);
    say(
      `${scenario.name} ${repetition}: ${Math.round(result.redis)} B in Redis, ${Math.round(result.log)} B in the log`,
    );
  }
  return { kind: 'mqttRest', scenario, rows: [row] };
}

async function resumeTable(scenario: MqttResume, nodeOptions: string | undefined, say: Say): Promise<Table> {
  const row: Row<MqttResumeResult> = { target: 'pushfleet', results: [] };
  for (let repetition = 1; repetition <= scenario.repetitions; repetition++) {
    const result = await onFleet(2, nodeOptions, (fleet) => runMqttResume(fleet, scenario));
    row.results.push(result);
    say(`${scenario.name} ${repetition}: all there after ${result.seconds.toFixed(2)} s`);
  }
  return { kind: 'mqttResume', scenario, rows: [row] };
}

const hour = 3_600;

async function lastingTable(
  scenario: MqttLasting,
  nodeOptions: string | undefined,
  say: Say,
): Promise<Table> {
  const ways = [
    { target: 'that end with the connection', lifeSeconds: undefined },
    { target: 'that last an hour', lifeSeconds: hour },
  ] as const;
  const rows: Row<LastingResult>[] = ways.map(({ target }) => ({ target, results: [] }));
  await onFleet(1, nodeOptions, async (fleet) => {
    for (let repetition = 1; repetition <= scenario.repetitions; repetition++) {
      for (const [index, { target, lifeSeconds }] of ways.entries()) {
        // Sessions that last are still there in the next repetition, and are not to be found.
        const shape = { ...scenario, name: `r${repetition}-${index}`, lifeSeconds };
        const { each = {}, ...result } = await runMqttFlow(fleet.edge(0), shape);
        const lasting = { ...result, cpu: each as Record<Part, number> };
        rows[index]?.results.push(lasting);
        say(
          `${scenario.name} ${repetition}, sessions ${target}: ${usPerFleetDelivery(lasting).toFixed(1)} µs a delivery`,
        );
      }
    }
  });
  return { kind: 'mqttLasting', scenario, rows };
}
