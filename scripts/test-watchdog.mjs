// Ends a test file that does not end by itself: asked first, so that it can stop the servers it started. The
// clock runs in a thread of its own, since a test that spins would keep the main one from noticing.
import { isMainThread, Worker } from 'node:worker_threads';

const milliseconds = Number(process.env.TEST_FILE_SECONDS ?? 300) * 1000 + 60_000;
const clock = `
setTimeout(() => process.kill(process.pid, 'SIGTERM'), ${milliseconds});
setTimeout(() => process.kill(process.pid, 'SIGKILL'), ${milliseconds + 10_000});
`;
if (isMainThread) new Worker(clock, { eval: true }).unref();
