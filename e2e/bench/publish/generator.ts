// A child process that publishes one way, as fast as it is answered, and counts the acknowledgements.
import { openBus } from './bus-source.ts';
import { openGrpc } from './grpc-source.ts';
import { openHttp } from './http-source.ts';
import { openPackage } from './package-source.ts';
import type { Order, PublishSpec, Report, Source } from './spec.ts';

let source: Source | undefined;

function reply(report: Report): void {
  process.send?.(report);
}

function open(spec: PublishSpec, firstTopic: number): Promise<Source> {
  if (spec.how === 'http') return openHttp(spec, firstTopic);
  if (spec.how === 'grpc') return openGrpc(spec, firstTopic);
  if (spec.how === 'package') return openPackage(spec, firstTopic);
  return openBus(spec, firstTopic);
}

/** Keeps the window full for so many seconds, then waits for what is on its way. */
async function run(from: Source, seconds: number): Promise<void> {
  const begin = performance.now();
  const end = begin + seconds * 1_000;
  let acknowledged = 0;
  const lane = async () => {
    while (performance.now() < end) {
      const count = await from.send(); // not added in one expression: the sum would be read before the wait
      acknowledged += count;
    }
  };
  await Promise.all(Array.from({ length: from.window }, lane));
  reply({ kind: 'ran', acknowledged, seconds: (performance.now() - begin) / 1_000 });
}

async function obey(order: Order): Promise<void> {
  if (order.kind === 'open') {
    source = await open(order.spec, order.firstTopic);
    reply({ kind: 'opened' });
  } else if (source !== undefined) await run(source, order.seconds);
}

process.on('message', (order: Order) => {
  obey(order).catch((error: Error) => reply({ kind: 'failed', reason: error.message }));
});
// The benchmark is gone: so is the reason to be here.
process.on('disconnect', () => process.exit());
