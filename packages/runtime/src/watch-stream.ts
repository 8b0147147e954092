import type { ClientReadableStream, ServiceError } from '@grpc/grpc-js';

const firstWaitMs = 100;
const longestWaitMs = 5_000;

export interface WatchOptions<Response> {
  open(): ClientReadableStream<Response>;
  /** Gives what takes the messages of one stream; it calls `inStep` once nothing is missed any more. */
  begin(inStep: () => void): (response: Response) => void;
  /** The stream broke, and is opened again in `waitMs` milliseconds. */
  onBroken(reason: string, waitMs: number): void;
}

/** Follows a stream that has no end over all losses of the connection. */
export function watchStream<Response>(o: WatchOptions<Response>): { start(): void; close(): void } {
  let stream: ClientReadableStream<Response> | undefined;
  let timer: NodeJS.Timeout | undefined;
  let closed = false;
  let failures = 0;

  const again = (reason: string): void => {
    stream = undefined;
    if (closed) return;
    // Full jitter: a restarted registry is not met by the whole fleet in the same moment.
    const waitMs = Math.random() * Math.min(longestWaitMs, firstWaitMs * 2 ** failures);
    failures++;
    o.onBroken(reason, Math.round(waitMs));
    timer = setTimeout(start, waitMs);
  };
  const start = (): void => {
    const current = o.open();
    stream = current;
    const inStep = (): void => {
      failures = 0;
    };
    current.on('data', o.begin(inStep));
    // A failed stream both errors and ends; one of the two starts the next.
    current.once(
      'error',
      (error: ServiceError) => stream === current && again(error.details ?? error.message),
    );
    current.once('end', () => stream === current && again('the registry ended the stream'));
  };
  return {
    start,
    close: () => {
      closed = true;
      clearTimeout(timer);
      stream?.cancel();
    },
  };
}
