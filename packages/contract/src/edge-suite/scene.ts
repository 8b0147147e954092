import { test } from 'node:test';
import { Receiver } from './receiver.ts';
import type { Ask, CaseName, EdgeProtocol, FleetUnderTest, Holder, KnownFailing } from './under-test.ts';

/** What a case plays with: a protocol, and topics that no other case has. */
export class Scene {
  readonly protocol: EdgeProtocol;
  readonly fleet: FleetUnderTest;
  readonly holder: Holder;
  readonly #open: Receiver[] = [];
  #ids = 0;

  constructor(protocol: EdgeProtocol, fleet: FleetUnderTest, subject: string) {
    this.protocol = protocol;
    this.fleet = fleet;
    this.holder = { namespace: namespaceOf(protocol), subject };
  }

  /** host:port of the instance that is the older one, 0, or the younger one, 1. */
  address(instance: 0 | 1): string {
    return this.fleet.addresses(this.protocol)[instance] as string;
  }

  /** @throws Refused */
  async open(instance: 0 | 1, filters: readonly string[], o: Partial<Ask> = {}): Promise<Receiver> {
    const token = o.token ?? (await this.fleet.token(this.holder));
    const receiver = await Receiver.open(this.protocol, this.address(instance), { ...o, token, filters });
    this.#open.push(receiver);
    return receiver;
  }

  /** Publishes one after the other; answers with the ids. */
  async publish(topics: readonly string[], o: { readonly text?: string; readonly retain?: boolean } = {}) {
    const ids: string[] = [];
    for (const topic of topics) ids.push(await this.publishOne(topic, o));
    return ids;
  }

  async publishOne(
    topic: string,
    o: { readonly id?: string; readonly text?: string; readonly retain?: boolean } = {},
  ): Promise<string> {
    const id = o.id ?? `${this.holder.subject}-${++this.#ids}`;
    const { namespace } = this.holder;
    const retain = o.retain === true ? { retain: true } : {};
    await this.fleet.publish({ namespace, topic, id, text: o.text ?? id, ...retain });
    return id;
  }

  close(): void {
    for (const receiver of this.#open) receiver.close();
  }
}

/** Of its own for each protocol, so that they share edges and log but no publication. */
export const namespaceOf = ({ name }: EdgeProtocol): string =>
  `suite-${name.toLowerCase().replaceAll(/\W+/g, '-')}`;

/** One case as a test: a known failure has to fail. */
export function play(
  protocol: EdgeProtocol,
  fleet: () => FleetUnderTest,
  name: CaseName,
  run: (scene: Scene) => Promise<void>,
): void {
  test(name, async (t) => {
    const scene = new Scene(protocol, fleet(), name.replaceAll(' ', '-'));
    try {
      const reason = await expected(name, protocol.name, protocol.knownFailing, () => run(scene));
      if (reason !== undefined) t.diagnostic(`known to fail: ${reason}`);
    } finally {
      scene.close();
    }
  });
}

/**
 * Runs a case that is known to fail or is not; answers with the reason of what failed as expected.
 *
 * @throws Error of a case that fails unexpectedly, or that passes by now
 */
export async function expected(
  name: CaseName,
  protocol: string,
  known: KnownFailing = {},
  run: () => Promise<void>,
): Promise<string | undefined> {
  const reason = known[name];
  if (reason === undefined) {
    await run();
    return undefined;
  }
  const failed = await run().then(
    () => false,
    () => true,
  );
  if (failed) return reason;
  throw new Error(`"${name}" passes on ${protocol} by now: take it off the list of what is known to fail.`);
}
