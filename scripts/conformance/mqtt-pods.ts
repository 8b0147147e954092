import { Fleet } from '../../e2e/src/fleet.ts';
import { createPresence, createSessions, wireEdge } from '../../packages/edge/src/mod.ts';
import { createIntake } from '../../packages/intake/src/mod.ts';
import { createLog, createMetrics, part, readConfig } from '../../packages/runtime/src/mod.ts';
import { Supervisor } from '../../packages/runtime/src/supervisor.ts';
import { fields } from '../../services/edge-mqtt/src/config.ts';
import { Edge } from '../../services/edge-mqtt/src/edge.ts';
import { type Balancer, balance } from './haproxy.ts';
import { everybody, type SuiteEdge } from './mqtt-edge.ts';

const name = 'edge-mqtt';
const drainMs = 1_000;

/** Two MQTT edges over a registry, a Redis and a log, behind a balancer that gives each connection to the next of them. */
export async function startMqttPods(
  haproxy: string,
  env: Readonly<Record<string, string>> = {},
): Promise<SuiteEdge> {
  const fleet = await Fleet.start({ protocols: [], publishers: 0 });
  const pods: Pod[] = [];
  let balancer: Balancer | undefined;
  const stop = async (): Promise<void> => {
    await balancer?.stop();
    await Promise.all(pods.map((pod) => pod.stop()));
    await fleet.stop();
  };
  try {
    for (let i = 0; i < 2; i++) pods.push(await startPod({ ...fleet.env, ...env }));
    balancer = await balance(
      haproxy,
      pods.map(({ address }) => address),
    );
    return { port: balancer.port, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

interface Pod {
  readonly address: string;
  stop(): Promise<void>;
}

/** As the service's main.ts wires it, but for who is let in. */
async function startPod(env: Readonly<Record<string, string>>): Promise<Pod> {
  const listens = ['LISTEN', 'TLS_LISTEN', 'WEBSOCKET_LISTEN'].map((one) => [
    `PUSHFLEET_EDGE_MQTT_${one}`,
    '127.0.0.1:0',
  ]);
  const config = readConfig(fields, { ...env, ...Object.fromEntries(listens) });
  const log = createLog({ name, level: 'error' });
  const metrics = createMetrics();
  const { parts, ...footing } = wireEdge(config, { log, metrics }, { name, protocol: 'mqtt' });
  const { backbone, policies, quotas, fleet } = footing;
  const { intake, meters } = createIntake({
    ...{ config, backbone, policies, quotas, instance: fleet.instance, log },
    terms: () => backbone.terms,
  });
  const presence = createPresence(config, { name, policies, log, metrics });
  const { instance } = fleet;
  const desk = createSessions(config, {
    ...{ name, protocol: 'mqtt', instance, signals: backbone.signals, log, metrics },
  });
  const edge = new Edge({ config, intake, presence, desk, ...footing, log, metrics, tokens: everybody });
  const sessions = desk === undefined ? [] : [desk];
  const all = [...parts, part('meters', meters), presence, ...sessions, edge];
  const supervisor = new Supervisor({ parts: all, log, drainMs });
  await supervisor.start();
  return {
    address: `127.0.0.1:${edge.address.port}`,
    async stop() {
      await supervisor.stop();
      await metrics.close();
    },
  };
}
