// Which servers there are to compare, and how each is come by.
import type { Options } from '../options.ts';
import { chapters, type ScenarioName } from '../plan.ts';
import { bare } from './bare.ts';
import { centrifugo } from './centrifugo.ts';
import { findCentrifugo } from './centrifugo-program.ts';
import { nchan } from './nchan.ts';
import { findNchan } from './nchan-package.ts';
import { bareWs, faye, socketIo } from './node-websockets.ts';
import { pushpin } from './pushpin.ts';
import { findPushpin } from './pushpin-package.ts';
import type { Target } from './target.ts';

type Say = (line: string) => void;

interface Kind {
  readonly chapters: readonly (keyof typeof chapters)[];
  /** Nothing, after saying why, where there is no way to it. */
  find(options: Options, say: Say): Promise<Target[]> | Target[];
}

const kinds = {
  pushfleet: {
    chapters: ['deliveries', 'publishing', 'websocket'],
    async find({ nodeOptions }) {
      const { pushfleet } = await import('./pushfleet.ts');
      return [await pushfleet('edge-sse', nodeOptions), await pushfleet('edge-websocket', nodeOptions)];
    },
  },
  nchan: {
    chapters: ['deliveries', 'publishing', 'websocket'],
    find: (_, say) =>
      whereFound(findNchan(say), (found) => [nchan(found, 'eventsource'), nchan(found, 'websocket')]),
  },
  pushpin: {
    chapters: ['publishing'],
    find: (_, say) => whereFound(findPushpin(say), (found) => [pushpin(found)]),
  },
  centrifugo: {
    chapters: ['websocket'],
    find: (_, say) => whereFound(findCentrifugo(say), (found) => [centrifugo(found)]),
  },
  'socket.io': { chapters: ['websocket'], find: () => [socketIo] },
  faye: { chapters: ['websocket'], find: () => [faye] },
  // Brokers are found in mqtt/find.ts.
  mosquitto: { chapters: [], find: () => [] },
  aedes: { chapters: [], find: () => [] },
  bare: { chapters: ['deliveries', 'publishing', 'websocket'], find: () => [bare, bareWs] },
} satisfies Readonly<Record<Options['targets'][number], Kind>>;

const whereFound = <T>(found: T | undefined, targets: (found: T) => Target[]): Target[] =>
  found === undefined ? [] : targets(found);

/** The servers that were asked for and take part in a scenario that was. */
export async function findTargets(options: Options, say: Say): Promise<Target[]> {
  const asked = (scenarios: readonly ScenarioName[]) => scenarios.some((name) => options.only.includes(name));
  const found: Target[] = [];
  for (const name of options.targets) {
    const kind: Kind = kinds[name];
    if (kind.chapters.some((chapter) => asked(chapters[chapter])))
      found.push(...(await kind.find(options, say)));
  }
  return found.filter(({ scenarios }) => asked(scenarios));
}
