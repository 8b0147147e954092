import { startMqttEdge } from './mqtt-edge.ts';
import { expectedPaho, expectedSequences, judge } from './mqtt-known.ts';
import { playPaho } from './mqtt-paho.ts';
import { playSequences } from './mqtt-sequences.ts';
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

/** paho's suites for 3.1.1 and 5. @returns how many passed. @throws Error with what is not as it is known to be */
export async function tryPaho(paho: Paho): Promise<string> {
  const played = await Promise.all(['client_test', 'client_test5'].map((module) => tryModule(paho, module)));
  return judge(played.flat(), expectedPaho);
}

async function tryModule(paho: Paho, module: string): ReturnType<typeof playPaho> {
  // The suite for 5 counts on a keep alive of at most a minute.
  const edge = await startMqttEdge({ PUSHFLEET_EDGE_MQTT_KEEP_ALIVE_SECONDS: '60' });
  try {
    return await playPaho(paho, module, edge.port);
  } finally {
    await edge.stop();
  }
}
