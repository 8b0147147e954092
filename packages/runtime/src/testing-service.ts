// A service for service.test.ts, run as a process of its own.
import { createServer } from 'node:http';
import { field } from './field.ts';
import { listening } from './log.ts';
import { runService } from './service.ts';
import { commonFields } from './shared-fields.ts';

const fields = {
  ...commonFields,
  opsListen: field.address({
    env: 'PUSHFLEET_TESTING_OPS_LISTEN',
    doc: 'Operations.',
    fallback: '127.0.0.1:0',
  }),
  listen: field.address({ env: 'PUSHFLEET_TESTING_LISTEN', doc: 'HTTP.', fallback: '127.0.0.1:0' }),
  fault: field.choice({
    env: 'PUSHFLEET_TESTING_FAULT',
    doc: 'What goes wrong.',
    choices: ['none', 'throw', 'reject', 'drain', 'not-ready'],
    fallback: 'none',
  }),
};

await runService({
  name: 'testing',
  fields,
  wire(config, { log, metrics }) {
    const server = createServer((_, response) => response.end('hello'));
    const requests = metrics.counter('pushfleet_testing_requests', { description: 'Requests.' });
    const http = {
      name: 'http',
      start: () =>
        new Promise<void>((resolve, reject) => {
          server.once('error', reject);
          server.listen(config.listen.port, config.listen.host, () => {
            listening(log, 'http', server);
            requests.add(1, { path: '/' });
            resolve();
          });
        }),
      drain: async (deadline: AbortSignal) => {
        if (config.fault !== 'drain') return;
        await new Promise<void>((resolve) => deadline.addEventListener('abort', () => resolve()));
      },
      close: async () => void server.close(),
      ready: () => (config.fault === 'not-ready' ? 'the log is away' : undefined),
    };
    if (config.fault === 'throw') {
      setImmediate(() => {
        throw new Error('a bug');
      });
    }
    if (config.fault === 'reject') void Promise.reject(new Error('a bug'));
    return { parts: [http] };
  },
});
