import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { describe, it } from 'node:test';
import { createLog, listening } from './log.ts';

function logged(write: (log: ReturnType<typeof createLog>) => void): string {
  const lines: string[] = [];
  write(createLog({ name: 'test', destination: { write: (line) => void lines.push(line) } }));
  return lines.join('');
}

describe('the log', () => {
  const slips: readonly object[] = [
    { token: 'hunter2' },
    { grant: { token: 'hunter2' } },
    { headers: { authorization: 'Bearer hunter2', cookie: 'pushfleet=hunter2' } },
    { req: { headers: { authorization: 'Bearer hunter2', cookie: 'pushfleet=hunter2' } } },
    { ticket: 'hunter2' },
    { config: { secret: 'hunter2', password: 'hunter2' } },
  ];
  for (const slip of slips) {
    it(`cuts secrets out of ${Object.keys(slip)[0]}`, () => {
      const text = logged((log) => log.info(slip, 'slipped'));
      assert.ok(text.includes('[redacted]') && !text.includes('hunter2'), text);
    });
  }

  it('tells where a listener is, by family', async () => {
    for (const [host, shape] of [
      ['127.0.0.1', /^127\.0\.0\.1:\d+$/],
      ['::1', /^\[::1\]:\d+$/],
    ] as const) {
      const server = createServer();
      await new Promise<void>((resolve) => server.listen(0, host, resolve));
      const line = JSON.parse(logged((log) => listening(log, 'http', server))) as Record<string, string>;
      server.close();
      assert.equal(line.msg, 'listening');
      assert.equal(line.listener, 'http');
      assert.match(line.address ?? '', shape);
    }
    const line = JSON.parse(logged((log) => listening(log, 'coap', { address: '[::]:5683' }))) as {
      address: string;
    };
    assert.equal(line.address, '[::]:5683');
  });
});
