import { type SuiteEdge, startMqttEdge } from './mqtt-edge.ts';
import { expectedPaho, expectedSequences, judge } from './mqtt-known.ts';
import { playPaho } from './mqtt-paho.ts';
import { startMqttPods } from './mqtt-pods.ts';
import { type Played, playSequences } from './mqtt-sequences.ts';
import type { Paho } from './mqtt-suites.ts';

/** Mosquitto's byte sequences. @returns how many passed. @throws Error with what is not as it is known to be */
export async function trySequences(folder: string): Promise<string> {
  // They take for granted that a server takes ten topic aliases.
  const edge = await startMqttEdge({ PUSHFLEET_EDGE_MQTT_TOPIC_ALIASES: '10' });
  try {
    return judge(await playSequences(folder, edge.port), expectedSequences);
  } finally {
    await edge.stop();
  }
}

const modules = ['client_test', 'client_test5'];
// The suite for 5 counts on a keep alive of at most a minute.
const pahoEnv = { PUSHFLEET_EDGE_MQTT_KEEP_ALIVE_SECONDS: '60' };

/** paho's suites for 3.1.1 and 5. @returns how many passed. @throws Error with what is not as it is known to be */
export async function tryPaho(paho: Paho): Promise<string> {
  const edges = () => startMqttEdge(pahoEnv);
  const played = await Promise.all(modules.map((module) => playOn(edges, paho, module)));
  return judge(played.flat(), expectedPaho);
}

/** The same against two pods with a registry, of which each connection comes to the next one. @returns, @throws as `tryPaho` */
export async function tryPahoOnPods(paho: Paho, haproxy: string): Promise<string> {
  const pods = () => startMqttPods(haproxy, pahoEnv);
  const played: (readonly Played[])[] = [];
  for (const module of modules) played.push(await playOn(pods, paho, module));
  return judge(played.flat(), expectedPaho);
}

async function playOn(
  start: () => Promise<SuiteEdge>,
  paho: Paho,
  module: string,
): Promise<readonly Played[]> {
  const edge = await start();
  try {
    return await playPaho(paho, module, edge.port);
  } finally {
    await edge.stop();
  }
}
