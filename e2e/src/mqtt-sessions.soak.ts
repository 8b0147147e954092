import type { Fault } from './faults.ts';
import { sessionsUnderFaults } from './mqtt-sessions-trial.ts';

// More than that is more than two cores carry: then subscribers fall behind, and what is awaited comes late.
const size = { publications: 100_000, publishers: 8, subscribers: 16, rate: 250 };

/** Each pod is killed between any two of the others. */
const round = (pods: number): Fault[] => {
  const kills = Array.from({ length: pods }, () => 'kill -9 of an edge' as const);
  const others: readonly Fault[] = [
    "kill -9 of a stream leader's server",
    'Redis restarted',
    'graceful step-down of a stream leader',
    'kill -9 of the registry',
    'Redis restarted and emptied',
  ];
  return [...kills, ...others.flatMap((fault) => [fault, ...kills])];
};

for (const pods of [2, 3]) sessionsUnderFaults({ ...size, pods, faults: round(pods) });
