import { type ChildProcess, fork } from 'node:child_process';
import { cpuSeconds } from '../cpu.ts';
import { type Order, type PublishSpec, publishTopics, type Report } from './spec.ts';

const generatorFile = new URL('./generator.ts', import.meta.url);

/** What publishers did together. CPU time of their own processes, in seconds. */
export interface Published {
  readonly acknowledged: number;
  readonly seconds: number;
  readonly generatorCpu: number;
}

/** Publishers in processes of their own, all going the same way. */
export class Crowd {
  readonly #children: readonly ChildProcess[];

  private constructor(children: readonly ChildProcess[]) {
    this.#children = children;
  }

  static async open(spec: PublishSpec, publishers: number): Promise<Crowd> {
    const crowd = new Crowd(Array.from({ length: publishers }, () => fork(generatorFile, { execArgv: [] })));
    try {
      await crowd.#ask(
        (index) => ({ kind: 'open', spec, firstTopic: Math.floor((index * publishTopics) / publishers) }),
        'opened',
      );
      return crowd;
    } catch (error) {
      await crowd.close();
      throw error;
    }
  }

  /** Processes of the publishers: where the bus is in them, they are the server. */
  get pids(): readonly number[] {
    return this.#children.map((child) => child.pid as number);
  }

  async run(seconds: number): Promise<Published> {
    const before = cpuSeconds(this.pids);
    const parts = await this.#ask(() => ({ kind: 'run', seconds }), 'ran');
    return {
      acknowledged: parts.reduce((sum, part) => sum + part.acknowledged, 0),
      seconds: Math.max(...parts.map((part) => part.seconds)),
      generatorCpu: cpuSeconds(this.pids) - before,
    };
  }

  #ask<K extends Report['kind']>(
    orderOf: (index: number) => Order,
    kind: K,
  ): Promise<Extract<Report, { kind: K }>[]> {
    return Promise.all(this.#children.map((child, index) => ask(child, orderOf(index), kind)));
  }

  async close(): Promise<void> {
    await Promise.all(
      this.#children.map(async (child) => {
        if (child.exitCode !== null || child.signalCode !== null) return;
        const gone = new Promise((resolve) => child.once('exit', resolve));
        child.kill('SIGKILL');
        await gone;
      }),
    );
  }
}

function ask<K extends Report['kind']>(
  child: ChildProcess,
  order: Order,
  kind: K,
): Promise<Extract<Report, { kind: K }>> {
  return new Promise((resolve, reject) => {
    child.once('message', (report: Report) => {
      if (report.kind === kind) resolve(report as Extract<Report, { kind: K }>);
      else
        reject(new Error(report.kind === 'failed' ? report.reason : `a publisher answered ${report.kind}`));
    });
    child.once('exit', (code) => reject(new Error(`a publisher ended with ${code}`)));
    child.send(order);
  });
}
