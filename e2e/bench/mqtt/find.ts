import type { Options } from '../options.ts';
import { chapters, type ScenarioName } from '../plan.ts';
import type { Broker } from './broker.ts';

/** The brokers that were asked for, where a scenario of theirs was. */
export async function findBrokers(options: Options, say: (line: string) => void): Promise<Broker[]> {
  const scenarios: readonly ScenarioName[] = [...chapters.mqtt, ...chapters.mqttConnections];
  if (!scenarios.some((name) => options.only.includes(name))) return [];
  const found: Broker[] = [];
  if (options.targets.includes('pushfleet')) {
    const { pushfleet } = await import('./pushfleet.ts');
    found.push(await pushfleet(say, options.nodeOptions));
  }
  if (options.targets.includes('mosquitto')) {
    const { mosquitto } = await import('./mosquitto.ts');
    const peer = await mosquitto(say).catch((error: Error) => say(`without mosquitto: ${error.message}`));
    if (peer !== undefined) found.push(peer);
  }
  if (options.targets.includes('aedes')) found.push((await import('./aedes.ts')).aedes);
  return found;
}
