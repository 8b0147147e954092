// The scenarios of MQTT, repetitions interleaved as in run.ts.
import type { Broker, RunningBroker } from './mqtt/broker.ts';
import { type MqttFlowResult, runMqttFlow } from './mqtt/flow.ts';
import { type MqttConnectResult, type MqttIdleResult, runMqttConnect, runMqttIdle } from './mqtt/visits.ts';
import type { MqttConnect, MqttFlow, MqttIdle, MqttScenario } from './mqtt-plan.ts';
import { type Row, type Table, usPerDelivery, usPerVisit } from './results.ts';

type Say = (line: string) => void;

export function mqttTable(scenario: MqttScenario, all: readonly Broker[], say: Say): Promise<Table> {
  const brokers = all.filter(({ versions }) => versions.includes(scenario.version));
  if (scenario.kind === 'mqttFlow') return flowTable(scenario, brokers, say);
  if (scenario.kind === 'mqttConnect') return connectTable(scenario, brokers, say);
  return idleTable(scenario, brokers, say);
}

async function flowTable(scenario: MqttFlow, brokers: readonly Broker[], say: Say): Promise<Table> {
  const measure = (broker: RunningBroker) => runMqttFlow(broker, scenario);
  const rows = await interleaved<MqttFlowResult>(scenario, brokers, measure, (who, result) =>
    say(`${who}: ${us(usPerDelivery(result))} a delivery, p99 ${result.p99.toFixed(1)} ms`),
  );
  return { kind: 'mqttFlow', scenario, rows };
}

async function connectTable(scenario: MqttConnect, brokers: readonly Broker[], say: Say): Promise<Table> {
  const measure = (broker: RunningBroker) => runMqttConnect(broker, scenario);
  const rows = await interleaved<MqttConnectResult>(scenario, brokers, measure, (who, result) =>
    say(
      `${who}: ${us(usPerVisit(result))} a connection, ${Math.round(result.visits / result.seconds)} a second`,
    ),
  );
  return { kind: 'mqttConnect', scenario, rows };
}

/** Each measurement has a broker of its own: memory that is freed would be used again, unseen. */
async function idleTable(scenario: MqttIdle, brokers: readonly Broker[], say: Say): Promise<Table> {
  const rows: Row<MqttIdleResult>[] = brokers.map(({ name }) => ({ target: name, results: [] }));
  for (let repetition = 1; repetition <= scenario.repetitions; repetition++) {
    for (const [index, broker] of brokers.entries()) {
      const running = await broker.start();
      try {
        const result = await runMqttIdle(running, scenario);
        rows[index]?.results.push(result);
        say(`${scenario.name} ${broker.name}: ${(result.perConnection / 1000).toFixed(1)} KB a connection`);
      } finally {
        await running.stop();
      }
    }
  }
  return { kind: 'mqttIdle', scenario, rows };
}

async function interleaved<R>(
  { name, repetitions }: MqttScenario,
  brokers: readonly Broker[],
  measure: (broker: RunningBroker) => Promise<R>,
  tell: (who: string, result: R) => void,
): Promise<Row<R>[]> {
  const rows: Row<R>[] = brokers.map((broker) => ({ target: broker.name, results: [] }));
  const started: RunningBroker[] = [];
  try {
    for (const broker of brokers) started.push(await broker.start());
    for (let repetition = 1; repetition <= repetitions; repetition++) {
      for (const [index, broker] of started.entries()) {
        const result = await measure(broker);
        rows[index]?.results.push(result);
        tell(`${name} ${repetition}/${repetitions} ${brokers[index]?.name}`, result);
      }
    }
  } finally {
    await Promise.all(started.map((broker) => broker.stop()));
  }
  return rows;
}

const us = (value: number): string => `${value.toFixed(1)} µs`;
