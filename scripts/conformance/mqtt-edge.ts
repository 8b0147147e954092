import { setTimeout as delay, setImmediate as turn } from 'node:timers/promises';
import { defaultNamespace, PushfleetError, parseTopicFilter } from '../../packages/core/src/mod.ts';
import { testEnv, testFooting } from '../../packages/edge/src/testing.ts';
import { createIntake, type Intake } from '../../packages/intake/src/mod.ts';
import {
  createGrant,
  type Grant,
  noTraces,
  readConfig,
  type TokenCheck,
} from '../../packages/runtime/src/mod.ts';
import { fields } from '../../services/edge-mqtt/src/config.ts';
import { Edge } from '../../services/edge-mqtt/src/edge.ts';
import { FakePresence } from '../../services/edge-mqtt/src/testing-edge.ts';

// paho's suites have a filter that no client may subscribe to.
const closed = 'test/nosubscribe';

/** What was published is with its subscribers by then. */
export const handedOverMs = 10;

const everything = [parseTopicFilter('#')];

function grantOf(subject: string): Grant {
  const grant = createGrant(
    { subject, namespace: defaultNamespace, expiresAt: 8.64e15, tokenDigest: 'conformance' },
    { publish: everything, subscribe: everything, presence: [], manage: [] },
  );
  return {
    ...{ subject, namespace: grant.namespace, expiresAt: grant.expiresAt, tokenDigest: grant.tokenDigest },
    grants: grant.grants,
    mayPublish: (topic) => grant.mayPublish(topic),
    maySubscribe: (filter) => filter !== closed && grant.maySubscribe(filter),
    mayPresence: (filter) => grant.mayPresence(filter),
    mayManage: (filter) => grant.mayManage(filter),
    subscribeGrants: (filter) => grant.subscribeGrants(filter),
    require(action, filter) {
      if (filter === closed) throw new PushfleetError('forbidden', `Nobody may subscribe to "${closed}".`);
      grant.require(action, filter);
    },
  };
}

/** The suites' clients have no tokens: whoever comes is let in. Nothing but this script has such a check. */
export const everybody: TokenCheck = { check: async () => grantOf('suite') };

export interface SuiteEdge {
  readonly port: number;
  stop(): Promise<void>;
}

/** An MQTT edge on a free port of this machine, whose log is in memory. */
export async function startMqttEdge(env: Readonly<Record<string, string>> = {}): Promise<SuiteEdge> {
  const listen = { PUSHFLEET_EDGE_MQTT_WEBSOCKET_LISTEN: '127.0.0.1:0' };
  const config = readConfig(fields, testEnv('MQTT', { ...listen, ...env }));
  const ends: (() => unknown)[] = [];
  const footing = await testFooting({ after: (end: () => unknown) => ends.push(end) }, config, 'mqtt');
  const { backbone, quotas, log } = footing;
  const { intake } = createIntake({
    ...{ config, backbone, quotas, log, instance: 'conformance' },
    terms: () => undefined,
    policies: { of: () => ({ history: true, presence: true }), quota: () => ({}), limitsStorage: false },
  });
  const late = new LateIntake(intake);
  const presence = new FakePresence();
  const edge = new Edge({ config, traces: noTraces, ...footing, intake: late, tokens: everybody, presence });
  await edge.start();
  return {
    port: edge.address.port,
    async stop() {
      await edge.close();
      for (const end of ends.reverse()) await end();
    },
  };
}

/**
 * Answers when subscribers were handed what was published. Which of the two comes first is the log's affair and the
 * standard's to nobody (section 4.6 orders acknowledgements among themselves, and publications); Mosquitto's sequences
 * have them in this order for QoS 1.
 */
class LateIntake implements Pick<Intake, 'publish'> {
  readonly #intake: Pick<Intake, 'publish'>;

  constructor(intake: Pick<Intake, 'publish'>) {
    this.#intake = intake;
  }

  async publish(...o: Parameters<Intake['publish']>): ReturnType<Intake['publish']> {
    const answers = await this.#intake.publish(...o);
    // The log in memory hands over by timers of 1 ms, and feeds are told once the event loop has turned.
    await delay(handedOverMs);
    await turn();
    return answers;
  }
}
