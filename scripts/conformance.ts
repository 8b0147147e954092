// Runs the programs of examples/ against a real fleet: each subscriber sees what each publisher stored, and again from
// a cursor; each receiver of webhooks verifies what it is sent. Then the registry's API against its own document, and the
// edges by suites of others. Brings what that needs; what cannot be had on this machine is skipped and said so.
// `npm run conformance -- mqtt` tries the MQTT edge alone.

import { Fleet, token } from '../e2e/src/fleet.ts';
import { HookManager, webhookEnv } from '../e2e/src/webhooks.ts';
import { freePort, until } from '../packages/contract/src/mod.ts';
import { apiEnv, bringSchemathesis, tryApi } from './conformance/api.ts';
import { bringAutobahn, echoEnv, tryAutobahn } from './conformance/autobahn.ts';
import { bringHaproxy } from './conformance/haproxy.ts';
import { type Language, languages, Missing } from './conformance/languages.ts';
import { tryPaho, tryPahoOnPods, trySequences } from './conformance/mqtt.ts';
import { bringPaho, bringSequences } from './conformance/mqtt-suites.ts';
import { Running } from './conformance/program.ts';
import { bringWebsockets, tryWebsockets } from './conformance/websockets.ts';
import { bringFeedPrograms, bringFlaskWebSub, tryFeed, tryWebSub } from './conformance/websub.ts';
import { exportServers } from './servers.ts';

const counts = { passed: 0, failed: 0, skipped: 0 };

/** The payloads that every publisher publishes. */
const totals = ['{"total":1}', '{"total":2}', '{"total":3}'];

async function attempt(name: string, check: () => Promise<void>): Promise<void> {
  try {
    await check();
    counts.passed++;
    console.log(`✔ ${name}`);
  } catch (error) {
    counts.failed++;
    console.log(`✖ ${name}\n${error instanceof Error ? error.message : String(error)}`);
  }
}

/** What each language needs; one whose preparation fails for a reason of its own has failed. */
function prepare(): Map<string, Language> {
  const ready = new Map<string, Language>();
  for (const [name, bring] of Object.entries(languages)) {
    try {
      ready.set(name, bring());
      console.log(`  ${name} is ready`);
    } catch (error) {
      if (error instanceof Missing) {
        // Each language publishes, subscribes live and from a cursor, and receives webhooks.
        counts.skipped += 4;
        console.log(`- ${name} is SKIPPED: ${error.message}`);
        continue;
      }
      counts.failed++;
      const { message, stderr = '' } = error as Error & { stderr?: string | Buffer };
      console.log(`✖ ${name} cannot be built\n${message}\n${stderr}`);
    }
  }
  return ready;
}

interface Subscriber {
  readonly name: string;
  readonly language: Language;
  readonly live: Running;
}

const seen = ({ lines }: Running, topic: string): string[] =>
  lines.filter((line) => line.startsWith(`${topic} `)).map((line) => line.slice(topic.length + 1));

async function sees(subscriber: Running, topic: string): Promise<void> {
  await until(() => seen(subscriber, topic).length >= totals.length, `${topic} to arrive`, 30_000).catch(
    () => {},
  );
  const got = seen(subscriber, topic).join(' ');
  if (got === totals.join(' ')) return;
  throw new Error(`expected ${totals.join(' ')}, got ${got || 'nothing'}. ${subscriber.errors}`);
}

async function tryAll(ready: ReadonlyMap<string, Language>, env: NodeJS.ProcessEnv): Promise<void> {
  const subscribers: Subscriber[] = Array.from(ready, ([name, language]) => ({
    ...{ name, language },
    live: new Running(language.subscribe, ['conformance/#'], env),
  }));
  const again: Running[] = [];
  try {
    for (const { live } of subscribers) {
      await until(() => live.lines.length > 0, 'a subscriber to stand', 30_000).catch(() => {});
    }
    for (const [name, { publish }] of ready) {
      await attempt(`${name} publishes`, async () => {
        const program = new Running(publish, [`conformance/${name}`], env);
        const code = await program.ended;
        if (code !== 0 || program.lines.length !== totals.length)
          throw new Error(`ended with ${code}: ${program.errors}`);
      });
    }
    for (const { name, language, live } of subscribers) {
      for (const publisher of ready.keys()) {
        await attempt(`${name} sees what ${publisher} publishes`, () =>
          sees(live, `conformance/${publisher}`),
        );
      }
      await attempt(`${name} resumes from a cursor`, async () => {
        const cursor = live.lines[0]?.split(' ')[1] ?? '';
        const resumed = new Running(language.subscribe, ['conformance/#', cursor], env);
        again.push(resumed);
        for (const publisher of ready.keys()) await sees(resumed, `conformance/${publisher}`);
      });
    }
  } finally {
    await Promise.all([...subscribers.map(({ live }) => live), ...again].map((program) => program.stop()));
  }
}

/** A subscription in the log's order, and its receiver: what the language publishes arrives, once. */
async function receives(name: string, language: Language, signing: string, o: Webhooks): Promise<void> {
  const port = await freePort();
  const topic = `conformance/hooks/${name}/${signing}`;
  const made = {
    url: `http://127.0.0.1:${port}/`,
    filter: topic,
    format: 'verbatim',
    ordered: true,
    signing,
  };
  const hook = (await o.hooks.create({ ...made, handshake: 'none' })) as {
    secret?: string;
    publicKey?: string;
  };
  const secret = { PUSHFLEET_WEBHOOK_SECRET: hook.secret ?? hook.publicKey };
  const receiver = new Running(language.receive, [String(port)], secret);
  try {
    await until(() => receiver.lines.length > 0, 'the receiver to listen');
    const publisher = new Running(language.publish, [topic], o.env);
    if ((await publisher.ended) !== 0) throw new Error(publisher.errors);
    await sees(receiver, topic);
  } catch (error) {
    throw new Error(`${(error as Error).message} ${receiver.errors}`);
  } finally {
    await receiver.stop();
  }
}

interface Webhooks {
  readonly hooks: HookManager;
  readonly env: NodeJS.ProcessEnv;
}

async function tryWebhooks(ready: ReadonlyMap<string, Language>, o: Webhooks): Promise<void> {
  for (const [name, language] of ready) {
    for (const signing of language.signings) {
      await attempt(`${name} receives webhooks signed by ${signing}`, () =>
        receives(name, language, signing, o),
      );
    }
  }
}

/** The API of the registry, asked by a tool that others wrote. */
async function tryRegistry(registry: string): Promise<void> {
  await ifHere("the registry's API", bringSchemathesis, async (command) => {
    const bearer = await token({ subscribe: ['#'], manage: true });
    await attempt('the registry answers as its OpenAPI document says', async () =>
      tryApi(command, registry, bearer),
    );
  });
}

/** The WebSocket edge, by a client of another language and by the suite that WebSocket implementations are tried by. */
async function tryWebSocket(address: string, bearer: string): Promise<void> {
  await ifHere("Python's websockets", bringWebsockets, (python) =>
    attempt("Python's websockets speaks pushfleet.v1 with the edge", async () =>
      tryWebsockets(python, address, bearer),
    ),
  );
  await ifHere('the Autobahn TestSuite', bringAutobahn, (suite) =>
    attempt('the WebSocket edge passes the Autobahn TestSuite', async () => {
      console.log(`  ${await tryAutobahn(suite, address)}`);
    }),
  );
}

/** The WebSub hub, by subscribers and a publisher that others wrote. */
async function tryHub(): Promise<void> {
  await ifHere('Flask-WebSub', bringFlaskWebSub, (python) =>
    attempt('Flask-WebSub discovers, subscribes, verifies, renews and unsubscribes', () => tryWebSub(python)),
  );
  await ifHere('pubsubhubbub and django-push', bringFeedPrograms, (programs) =>
    attempt('django-push announces a feed, and pubsubhubbub is given it', () => tryFeed(programs)),
  );
}

/** The MQTT edge, by the suites that brokers are tried by. */
async function tryMqtt(): Promise<void> {
  await ifHere("Mosquitto's byte sequences", bringSequences, (folder) =>
    attempt("the MQTT edge answers as Mosquitto's byte sequences say", async () => {
      console.log(`  ${await trySequences(folder)}`);
    }),
  );
  await ifHere("paho's interoperability tests", bringPaho, (paho) =>
    attempt("the MQTT edge passes paho's interoperability tests", async () => {
      console.log(`  ${await tryPaho(paho)}`);
    }),
  );
  const bringBoth = async () => ({ paho: bringPaho(), haproxy: await bringHaproxy() });
  await ifHere("paho's interoperability tests behind HAProxy", bringBoth, ({ paho, haproxy }) =>
    attempt("two MQTT edges behind HAProxy pass paho's interoperability tests", async () => {
      console.log(`  ${await tryPahoOnPods(paho, haproxy)}`);
    }),
  );
}

/** Skips what cannot be had on this machine, and says so. */
async function ifHere<T>(
  what: string,
  bring: () => T | Promise<T>,
  check: (brought: T) => Promise<void>,
): Promise<void> {
  let brought: T;
  try {
    brought = await bring();
  } catch (error) {
    if (!(error instanceof Missing)) throw error;
    counts.skipped++;
    console.log(`- ${what} is SKIPPED: ${error.message}`);
    return;
  }
  await check(brought);
}

/** What needs a fleet. */
async function tryFleet(): Promise<void> {
  await exportServers();
  const ready = prepare();
  const fleet = await Fleet.start({
    workers: 1,
    protocols: ['edge-sse', 'edge-websocket'],
    env: { ...webhookEnv, ...apiEnv, ...echoEnv },
  });
  try {
    const bearer = await token({ publish: ['conformance/#'], subscribe: ['conformance/#'] });
    const env = { PUSHFLEET_GRPC_URL: `http://${fleet.grpc.address}`, PUSHFLEET_TOKEN: bearer };
    await tryAll(ready, env);
    await tryWebhooks(ready, { hooks: new HookManager(fleet, bearer), env });
    await tryRegistry(`http://${fleet.registry.addresses.http}`);
    await tryWebSocket(fleet.door('edge-websocket').address, bearer);
  } finally {
    await fleet.stop();
  }
}

const [only] = process.argv.slice(2);
if (only !== undefined && only !== 'mqtt') throw new Error(`"${only}" is no part of this; "mqtt" is.`);
if (only === undefined) {
  await tryFleet();
  await tryHub();
}
await tryMqtt();
if (counts.passed === 0) counts.failed++;
if (counts.skipped > 0) console.log(`${counts.skipped} skipped: these prove nothing on this machine`);
console.log(`${counts.passed} passed, ${counts.failed} failed`);
process.exit(counts.failed === 0 ? 0 : 1);
