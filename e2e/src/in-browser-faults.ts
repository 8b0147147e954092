import { setTimeout as sleep } from 'node:timers/promises';
import { until } from '@pushfleet/contract';
import type { EdgeService, Fleet } from './fleet.ts';
import type { BrowserFault, Ground } from './in-browser.ts';
import type { Kind, Network } from './network.ts';

/** Cuts whatever the client uses by then: one that is cut again and again may look for a better way. */
async function cutFiveTimes({ network }: Ground, first: Kind): Promise<void> {
  await until(() => network.cut(first) > 0, `a connection to cut (${first})`);
  for (let i = 0; i < 4; i++) {
    await sleep(300);
    await until(() => network.cut() > 0, 'another connection to cut');
  }
}

/** Kills every instance of an edge at once and brings them back. */
async function killAll(fleet: Fleet, name: EdgeService): Promise<void> {
  const instances = fleet.edgesOf(name);
  const count = instances.length;
  await Promise.all(Array.from({ length: count }, () => fleet.end(instances, 'SIGKILL')));
  await Promise.all(Array.from({ length: count }, () => fleet.startEdge(name)));
}

const without =
  (upgrades: Network['weather']['upgrades'], streams: Network['weather']['streams'] = 'pass') =>
  ({ weather }: Network): void => {
    Object.assign(weather, { upgrades, streams });
  };

/** What networks and edges do to a client: one of each kind. */
export const browserFaults: Readonly<Record<string, BrowserFault>> = {
  'the WebSocket is cut five times': {
    async disturb(ground) {
      await ground.settled('websocket');
      await cutFiveTimes(ground, 'websocket');
    },
  },
  'upgrades are forbidden (403), and allowed later': {
    before: without(403),
    async disturb({ network, settled }) {
      await settled('sse');
      network.weather.upgrades = 'pass';
      network.cut('stream');
      await sleep(500);
    },
  },
  'upgrades are forbidden, and event streams are held by a proxy': {
    before: without(403, 'hold'),
    disturb: ({ settled }) => settled('poll'),
  },
  'the WebSocket edges are killed (-9) and come back': {
    async disturb({ fleet, settled }) {
      await settled('websocket');
      await killAll(fleet, 'edge-websocket');
    },
  },
};

/** The others, some of which take long to be noticed. */
export const moreBrowserFaults: Readonly<Record<string, BrowserFault>> = {
  'a proxy knows no upgrades (426)': {
    before: without(426),
    disturb: ({ settled }) => settled('sse'),
  },
  'upgrades are never answered': {
    before: without('hang'),
    disturb: ({ settled }) => settled('sse'),
  },
  'upgrades are forbidden, and the event stream is cut five times': {
    before: without(403),
    async disturb(ground) {
      await ground.settled('sse');
      await cutFiveTimes(ground, 'stream');
    },
  },
  'event streams are held from now on, in the middle of one': {
    before: without(403),
    async disturb({ network, settled }) {
      await settled('sse');
      network.weather.streams = 'hold';
      network.cut('stream');
      await settled('poll');
    },
  },
  'long polls are cut five times': {
    before: without(403, 'hold'),
    async disturb(ground) {
      await ground.settled('poll');
      await cutFiveTimes(ground, 'other');
    },
  },
  'the event stream edges are killed (-9) and come back': {
    before: without(403),
    async disturb({ fleet, settled }) {
      await settled('sse');
      await killAll(fleet, 'edge-sse');
    },
  },
  'the long polling edges are killed (-9) and come back': {
    before: without(403, 'hold'),
    async disturb({ fleet, settled }) {
      await settled('poll');
      await killAll(fleet, 'edge-longpoll');
    },
  },
  'there is no network for three seconds': {
    async disturb({ network, settled }) {
      await settled('websocket');
      network.weather.away = true;
      network.cut();
      await sleep(3_000);
      network.weather.away = false;
    },
  },
  'the WebSocket falls silent': {
    async disturb({ network, settled }) {
      await settled('websocket');
      const before = network.came.websocket;
      network.silence('websocket');
      await until(() => network.came.websocket > before, 'the client to notice', 90_000);
    },
  },
};
