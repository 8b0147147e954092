import { join } from 'node:path';
import { type Child, type ChildOptions, startChild } from '../local/child.ts';
import { poll } from '../local/poll.ts';

export interface ServiceOptions extends Pick<ChildOptions, 'onStart'> {
  /** The checkout. */
  readonly root: string;
  /** The folder below `services/`. */
  readonly name: string;
  /** On top of this process's own variables. Listeners take free ports on 127.0.0.1 unless it says otherwise. */
  readonly env: Readonly<Record<string, string>>;
  readonly log: string;
}

export interface ServiceInstance {
  readonly child: Child;
  /** Where its listeners are reached, host:port by the names of its log: `http`, `grpc`, `ops`. */
  readonly addresses: Readonly<Record<string, string>>;
}

// While thousands of connections open, V8 lets its young generation grow to 64 MiB a half and keeps it: for ever, as
// nothing makes garbage then. That is half of what an idle connection would take.
const youngGeneration = '--max-semi-space-size=16';

/** Starts a service from its sources without waiting until it is ready. */
export async function runService(o: ServiceOptions): Promise<ServiceInstance> {
  const child = await startChild({
    command: process.execPath,
    args: [
      ...(o.name.startsWith('edge-') ? [youngGeneration] : []),
      join(o.root, 'services', o.name, 'src/main.ts'),
    ],
    cwd: o.root,
    env: { ...process.env, ...freeListeners(o.name), ...o.env },
    log: o.log,
    onStart: o.onStart,
  });
  try {
    await poll(() => 'ops' in listeners(child.output()), { child, what: `${o.name} to listen`, ms: 30_000 });
  } catch (error) {
    await child.stop('SIGKILL');
    throw error;
  }
  return {
    child,
    get addresses() {
      return listeners(child.output());
    },
  };
}

/** Waits until the service says that it can serve. @throws Error with its own reason, or its last words */
export async function serviceReady(name: string, service: ServiceInstance, ms = 60_000): Promise<void> {
  const { child } = service;
  const ready = async (): Promise<boolean> => {
    const answer = await fetch(`http://${service.addresses.ops}/readyz`);
    if (!answer.ok) throw new Error((await answer.text()).trim());
    // Its log is written behind its back: with this line the addresses of all listeners have arrived.
    return child.output().includes('"msg":"started"');
  };
  await poll(ready, { child, what: `${name} to be ready`, ms });
}

// Most services have one named as they are, beside that of operations. A name that a service does not read would make
// it warn.
const listenersOf: Readonly<Record<string, readonly string[]>> = {
  publish: ['PUBLISH', 'PUBLISH_GRPC'],
  registry: ['REGISTRY', 'REGISTRY_GRPC'],
  'edge-mqtt': ['EDGE_MQTT', 'EDGE_MQTT_TLS', 'EDGE_MQTT_WEBSOCKET'],
  'delivery-webhook': [],
};

function freeListeners(name: string): Record<string, string> {
  const prefix = name.toUpperCase().replaceAll('-', '_');
  const names = [...(listenersOf[name] ?? [prefix]), `${prefix}_OPS`];
  return Object.fromEntries(names.map((listener) => [`PUSHFLEET_${listener}_LISTEN`, '127.0.0.1:0']));
}

interface LogLine {
  readonly msg?: string;
  readonly listener?: string;
  readonly address?: string;
}

// A service logs {"msg":"listening","listener":"http","address":"127.0.0.1:8081"} for each of its listeners.
function listeners(output: string): Record<string, string> {
  const found: Record<string, string> = {};
  for (const line of output.split('\n')) {
    if (!line.includes('"listening"')) continue;
    const { msg, listener, address } = JSON.parse(line) as LogLine;
    if (msg === 'listening' && listener !== undefined && address !== undefined) found[listener] = address;
  }
  return found;
}
