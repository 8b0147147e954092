import { cpuSeconds } from '../cpu.ts';
import type { Publish } from '../plan.ts';
import { Crowd } from '../publish/crowd.ts';
import type { PublishPath } from '../publish/spec.ts';
import type { Intake } from '../targets/target.ts';

/** What one repetition of one way in gave. Times in seconds. */
export interface PublishResult {
  readonly acknowledged: number;
  readonly seconds: number;
  /** CPU time of the process published to, of all that a publication passes, and of the publishers. */
  readonly frontCpu: number;
  readonly pathCpu: number;
  readonly generatorCpu: number;
}

/** Publishes as fast as it is acknowledged, after a warm-up; an answer that refuses ends the run with an error. */
export async function runPublish(
  intake: Intake,
  path: PublishPath,
  publishers: number,
  { seconds, warmUpSeconds }: Publish,
): Promise<PublishResult> {
  const crowd = await Crowd.open(path.spec, publishers);
  try {
    await crowd.run(warmUpSeconds);
    const inProcess = path.spec.how === 'bus';
    const { behind } = intake;
    const front = inProcess ? crowd.pids : intake.front;
    const storedBefore = (await intake.stored?.()) ?? Number.NaN;
    const begin = { front: cpuSeconds(front), behind: cpuSeconds(behind) };
    const { acknowledged, seconds: took, generatorCpu } = await crowd.run(seconds);
    const stored = ((await intake.stored?.()) ?? Number.NaN) - storedBefore;
    if (stored < acknowledged)
      throw new Error(`${path.name}: ${acknowledged} were acknowledged and ${stored} stored: void`);
    const frontCpu = cpuSeconds(front) - begin.front;
    return {
      ...{ acknowledged, seconds: took, frontCpu },
      pathCpu: frontCpu + cpuSeconds(behind) - begin.behind,
      generatorCpu: inProcess ? 0 : generatorCpu,
    };
  } finally {
    await crowd.close();
  }
}
