import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createLog } from './log.ts';
import type { Part } from './part.ts';
import { Supervisor } from './supervisor.ts';

const log = createLog({ name: 'test', level: 'silent' });

function part(name: string, journal: string[], o: Partial<Part> = {}): Part {
  const step = (what: string) => async () => void journal.push(`${what} ${name}`);
  return { name, start: step('start'), drain: step('drain'), close: step('close'), ...o };
}

const supervise = (parts: readonly Part[], drainMs = 10_000) => new Supervisor({ parts, log, drainMs });

describe('Supervisor', () => {
  it('starts in order, drains all at once, closes in reverse', async () => {
    const journal: string[] = [];
    const supervisor = supervise([part('a', journal), part('b', journal)]);
    assert.deepEqual(supervisor.reasons, { service: 'the service is starting' });
    await supervisor.start();
    assert.deepEqual(supervisor.reasons, {});
    const stopping = supervisor.stop();
    assert.deepEqual(supervisor.reasons, { service: 'the service is shutting down' });
    assert.equal(await stopping, true);
    assert.deepEqual(journal, ['start a', 'start b', 'drain a', 'drain b', 'close b', 'close a']);
  });

  it('is ready when every part is, and says which is not', async () => {
    let reason: string | undefined = 'NATS is away';
    const supervisor = supervise([part('a', []), part('b', [], { ready: () => reason })]);
    await supervisor.start();
    assert.deepEqual(supervisor.reasons, { b: 'NATS is away' });
    reason = undefined;
    assert.deepEqual(supervisor.reasons, {});
  });

  it('closes what has started where a part fails to', async () => {
    const journal: string[] = [];
    const broken = part('b', journal, { start: () => Promise.reject(new Error('port 8080 is taken')) });
    const supervisor = supervise([part('a', journal), broken, part('c', journal)]);
    await assert.rejects(supervisor.start(), /^Error: b could not start: port 8080 is taken$/);
    assert.deepEqual(journal, ['start a', 'close b', 'close a']);
  });

  it('does not drain what has not started, and lets go of a start that hangs', async () => {
    const journal: string[] = [];
    let release = (): void => undefined;
    const hanging = part('b', journal, { start: () => new Promise((resolve) => (release = resolve)) });
    const supervisor = supervise([part('a', journal), hanging, part('c', journal)]);
    const starting = supervisor.start();
    await Promise.resolve();
    await supervisor.stop();
    release();
    await starting;
    assert.deepEqual(journal, ['start a', 'close b', 'close a']);
  });

  it('aborts the deadline when the time is up, and closes', async () => {
    const journal: string[] = [];
    const slow = part('a', journal, {
      drain: (deadline) =>
        new Promise((resolve) =>
          deadline.addEventListener('abort', () => {
            journal.push('cut a');
            resolve();
          }),
        ),
    });
    const supervisor = supervise([slow], 20);
    await supervisor.start();
    assert.equal(await supervisor.stop(), true);
    assert.deepEqual(journal, ['start a', 'cut a', 'close a']);
  });

  it('closes a part that ignores its deadline', async () => {
    const journal: string[] = [];
    const supervisor = supervise([part('a', journal, { drain: () => new Promise(() => undefined) })], 10);
    await supervisor.start();
    assert.equal(await supervisor.stop(), false);
    assert.deepEqual(journal, ['start a', 'close a']);
  });

  it('cuts the drain short when told to stop again', async () => {
    const patient = part('a', [], {
      drain: (deadline) => new Promise((resolve) => deadline.addEventListener('abort', () => resolve())),
    });
    const supervisor = supervise([patient], 3_600_000);
    await supervisor.start();
    void supervisor.stop();
    assert.equal(await supervisor.stop(), true);
  });

  it('goes on past parts that fail to drain or close', async () => {
    const journal: string[] = [];
    const failing = part('a', journal, {
      drain: () => Promise.reject(new Error('no')),
      close: () => Promise.reject(new Error('no')),
    });
    const supervisor = supervise([part('z', journal), failing]);
    await supervisor.start();
    assert.equal(await supervisor.stop(), false);
    assert.deepEqual(journal, ['start z', 'start a', 'drain z', 'close z']);
  });
});
