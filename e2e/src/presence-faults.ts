import assert from 'node:assert/strict';
import { after, before, describe, type TestContext, test } from 'node:test';
import { until } from '@pushfleet/contract';
import { Receiver } from '@pushfleet/contract/edge-suite';
import { type Fault, faults } from './faults.ts';
import { Fleet, token } from './fleet.ts';
import { MemberClient } from './member.ts';
import { websocket } from './protocols/websocket.ts';

export interface PresenceTrial {
  readonly natsServers: 1 | 3;
  /** Who enters at the edge that is killed. */
  readonly members: number;
  /** How many of them come back at another at once. */
  readonly returning: number;
  /** Who enters at the other edge, and before and after a fault that nobody is lost by. */
  readonly elsewhere: number;
  /** What everybody survives. */
  readonly survived: readonly Fault[];
}

const expirySeconds = 10;
/** More than the promise has, on a machine that does much else. */
const patienceMs = expirySeconds * 1_000 + 15_000;

const names = (kind: string, count: number): string[] =>
  Array.from({ length: count }, (_, n) => `${kind}-${String(n).padStart(4, '0')}`);

interface Change {
  readonly kind: 'entered' | 'updated' | 'left' | 'expired';
  readonly client: string;
}

/** What becomes of who is on a topic when a part of the fleet dies, with two edges. */
export function presenceUnderFaults(title: string, size: PresenceTrial): void {
  describe(title, { concurrency: 1 }, () => {
    let fleet: Fleet;
    let bearer: string;
    const open: (MemberClient | Receiver)[] = [];
    const edge = (instance: 0 | 1): string =>
      fleet.edgesOf('edge-websocket')[instance]?.addresses.http as string;

    before(async () => {
      fleet = await Fleet.start({
        natsServers: size.natsServers,
        edges: 2,
        protocols: ['edge-websocket'],
        env: { PUSHFLEET_PRESENCE_EXPIRY_SECONDS: String(expirySeconds), PUSHFLEET_DRAIN_SECONDS: '2' },
      });
      bearer = await token({ publish: ['#'], subscribe: ['#'], presence: ['#'] });
    });
    after(() => fleet?.stop());

    /** A client that keeps its connection, with those who entered by it. */
    async function client(address: string, topic?: string, name?: string): Promise<MemberClient> {
      const member = await MemberClient.open(address, bearer);
      open.push(member);
      if (topic !== undefined && name !== undefined) await member.enter(topic, name);
      return member;
    }

    async function enter(address: string, topic: string, clients: readonly string[]): Promise<void> {
      await Promise.all(clients.map((name) => client(address, topic, name)));
    }

    async function watch(address: string, topic: string): Promise<Receiver> {
      const ask = { token: bearer, filters: [`$presence/${topic}`] };
      const watcher = await Receiver.open(websocket, address, ask);
      open.push(watcher);
      return watcher;
    }

    const changes = (watcher: Receiver, kind: Change['kind']): string[] =>
      watcher.received
        .map(({ text }) => JSON.parse(text) as Change)
        .filter((change) => change.kind === kind)
        .map(({ client: name }) => name)
        .toSorted();

    const play = (name: string, run: (t: TestContext) => Promise<void>): void => {
      test(name, async (t) => {
        try {
          await run(t);
        } catch (error) {
          t.diagnostic(fleet.logs().slice(-20_000));
          throw error;
        } finally {
          for (const one of open.splice(0)) 'cut' in one ? one.cut() : one.close();
        }
      });
    };

    play(
      'kill -9 of an edge: its members are gone within the expiry, but for those who came back',
      async (t) => {
        const topic = 'room/killed';
        const [leaving, returning, staying] = [
          names('leaving', size.members - size.returning),
          names('returning', size.returning),
          names('staying', size.elsewhere),
        ];
        const watcher = await watch(edge(1), topic);
        await Promise.all([
          enter(edge(0), topic, [...leaving, ...returning]),
          enter(edge(1), topic, staying),
        ]);
        const asking = await client(edge(1));
        const all = [...leaving, ...returning, ...staying].toSorted();
        assert.deepEqual(await asking.list(topic), all);
        await until(() => changes(watcher, 'entered').length >= all.length, 'the news of all');

        const [other] = [edge(1)];
        const killed = performance.now();
        await fleet.end(fleet.edgesOf('edge-websocket'), 'SIGKILL');
        await enter(other, topic, returning);
        const left = [...returning, ...staying].toSorted();
        const gone = async (): Promise<boolean> => {
          const listed = await asking.list(topic);
          assert.deepEqual(
            left.filter((name) => !listed.includes(name)),
            [],
            'nobody else is lost',
          );
          return listed.length === left.length;
        };
        await until(gone, 'the members of the dead instance to be gone', patienceMs);
        t.diagnostic(
          `${leaving.length} members gone ${Math.round(performance.now() - killed)} ms after the kill`,
        );
        assert.deepEqual(await asking.list(topic), left);
        await until(() => changes(watcher, 'expired').length >= leaving.length, 'the news of their end');
        assert.deepEqual([...new Set(changes(watcher, 'expired'))], leaving);
        assert.deepEqual(changes(watcher, 'left'), []);
        await fleet.startEdge('edge-websocket');
      },
    );

    for (const fault of size.survived) {
      play(`${fault}: everybody stays, and what changes meanwhile is told`, async () => {
        const topic = `room/${size.survived.indexOf(fault)}`;
        const [early, late] = [names('early', size.elsewhere), names('late', size.elsewhere)];
        const watcher = await watch(edge(1), topic);
        await enter(edge(0), topic, early);
        await faults[fault](fleet);
        const asking = await client(edge(1));
        // The registry may still be coming back: whoever is refused tries again.
        const persist = (name: string): Promise<void> =>
          until(
            async () => (await client(edge(0), topic, name)) !== undefined,
            'others to enter',
            patienceMs,
          );
        await Promise.all(late.map(persist));
        const all = [...early, ...late].toSorted();
        const there = async (): Promise<boolean> => (await asking.list(topic)).join() === all.join();
        await until(there, 'all to be there', patienceMs);
        const told = () => new Set(changes(watcher, 'entered')).size === all.length;
        await until(told, 'the news of all', patienceMs);
        assert.deepEqual([...changes(watcher, 'expired'), ...changes(watcher, 'left')], []);
      });
    }
  });
}
