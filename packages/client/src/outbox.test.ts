import assert from 'node:assert/strict';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, it } from 'node:test';
import { forSeeds, SimulatedClock } from '@pushfleet/contract/simulation';
import { type Draft, draftOf } from './draft.ts';
import { PushfleetError } from './errors.ts';
import type { Receipt } from './fleet.ts';
import { Outbox } from './outbox.ts';
import { post } from './post.ts';

const limits = { count: 3, bytes: 10_000, patienceMs: 50_000 };
const receiptOf = ({ id, topic }: Draft): Receipt => ({ id, topic, cursor: 'c', duplicate: false });
const draft = (topic: string, payload: unknown = 'x', id?: string) =>
  draftOf(topic, payload, id === undefined ? {} : { id }, 0);

describe('the outbox', () => {
  it('keeps the order of each topic and stores each publication once, whatever happens to answers', async () => {
    await forSeeds(500, async (random) => {
      const clock = new SimulatedClock();
      const log: Draft[] = [];
      const underWay = new Set<string>();
      const send = (given: Draft) =>
        new Promise<Receipt>((resolve, reject) => {
          assert.ok(!underWay.has(given.id));
          underWay.add(given.id);
          const [there, back] = [random.below(300), random.below(300)];
          const fate = random.below(4);
          const fail = (code: string) => {
            underWay.delete(given.id);
            reject(new PushfleetError(code, code));
          };
          if (fate === 0) clock.after(there, () => fail('unreachable'));
          else if (fate === 1) clock.after(there, () => fail('rate_limited'));
          else {
            clock.after(there, () => {
              if (!log.some(({ id }) => id === given.id)) log.push(given);
            });
            clock.after(there + back, () => {
              if (fate === 2) return fail('unreachable');
              underWay.delete(given.id);
              resolve(receiptOf(given));
            });
          }
        });
      const outbox = new Outbox({
        clock,
        random: () => random.next(),
        ...limits,
        count: 100,
        patienceMs: 1e9,
        send,
      });
      const drafts = Array.from({ length: 30 }, (_, i) => draft(`t/${random.below(4)}`, 'x', String(i)));
      const answers: Promise<Receipt>[] = [];
      for (const one of drafts) {
        answers.push(outbox.add(one));
        if (random.chance(0.3)) await clock.advance(random.below(500));
      }
      await clock.advance(10_000_000);
      await Promise.all(answers);
      for (const topic of new Set(drafts.map((one) => one.topic))) {
        const ids = (of: readonly Draft[]) => of.filter((one) => one.topic === topic).map(({ id }) => id);
        assert.deepEqual(ids(log), ids(drafts));
      }
    });
  });

  const never = () => new Promise<Receipt>(() => {});

  it('takes as many as it may, and as many bytes', async () => {
    const clock = new SimulatedClock();
    const outbox = new Outbox({ clock, random: Math.random, ...limits, send: never });
    for (let i = 0; i < 3; i++) outbox.add(draft('t')).catch(() => {});
    await assert.rejects(outbox.add(draft('t')), { code: 'queue_full', retryable: false });
    const bytes = new Outbox({ clock, random: Math.random, ...limits, send: never });
    bytes.add(draft('t', new Uint8Array(9_000))).catch(() => {});
    await assert.rejects(bytes.add(draft('t', new Uint8Array(1_000))), { code: 'queue_full' });
    bytes.add(draft('t', new Uint8Array(100))).catch(() => {});
    const large = new Outbox({
      clock,
      random: Math.random,
      ...limits,
      send: async (given) => receiptOf(given),
    });
    assert.equal((await large.add(draft('t', new Uint8Array(20_000)))).cursor, 'c', 'one always fits');
  });

  it('gives up after its patience, and rejects at once what cannot pass', async () => {
    const clock = new SimulatedClock();
    const outbox = new Outbox({ clock, random: Math.random, ...limits, send: never });
    const late = assert.rejects(outbox.add(draft('t')), { code: 'timeout' });
    await clock.advance(limits.patienceMs);
    await late;
    for (const code of ['forbidden', 'internal', 'storage_full']) {
      const send = () => Promise.reject(new PushfleetError(code, code));
      await assert.rejects(new Outbox({ clock, random: Math.random, ...limits, send }).add(draft('t')), {
        code,
      });
    }
  });

  it('closes with the answers it has, and rejects the rest', async () => {
    const clock = new SimulatedClock();
    const outbox = new Outbox({
      clock,
      random: Math.random,
      ...limits,
      send: async (given) => receiptOf(given),
    });
    const answer = outbox.add(draft('t'));
    await outbox.drain();
    assert.equal((await answer).topic, 't');
    await assert.rejects(outbox.add(draft('t')), { code: 'closed' });
    const stuck = new Outbox({ clock, random: Math.random, ...limits, send: never });
    const rest = assert.rejects(stuck.add(draft('t')), { code: 'closed' });
    stuck.close(new PushfleetError('closed', 'closed'));
    await rest;
  });
});

describe('publishing over HTTP', () => {
  async function asked(answer: (response: ServerResponse) => void, given: Draft) {
    const requests: { request: IncomingMessage; body: Buffer }[] = [];
    const server = createServer(async (request, response) => {
      const chunks: Buffer[] = [];
      for await (const chunk of request) chunks.push(chunk);
      requests.push({ request, body: Buffer.concat(chunks) });
      answer(response);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    try {
      const receipt = await post({ url, fetch }, given, 'token', AbortSignal.timeout(5_000));
      return { receipt, ...(requests[0] as (typeof requests)[number]) };
    } finally {
      server.close();
      server.closeAllConnections();
    }
  }

  it('sends all that the publication has', async () => {
    const options = { id: 'ü 1', type: 'a b', retain: true, ttl: 5, attributes: { colour: 'röd' } };
    const { receipt, request, body } = await asked(
      (response) =>
        response.writeHead(201).end('{"id":"ü 1","topic":"a/../b","cursor":"c","duplicate":true}'),
      draftOf('a/../b', { a: 1 }, options, 0),
    );
    assert.deepEqual(receipt, { id: 'ü 1', topic: 'a/../b', cursor: 'c', duplicate: true });
    assert.deepEqual([request.method, request.url], ['POST', '/v1/topics?topic=a%2F..%2Fb']);
    const { authorization, 'content-type': type, 'idempotency-key': key } = request.headers;
    assert.deepEqual(
      [authorization, type, key, body.toString()],
      ['Bearer token', 'application/json', '%C3%BC%201', '{"a":1}'],
    );
    const own = Object.entries(request.headers).filter(([name]) => name.startsWith('pushfleet-'));
    assert.deepEqual(Object.fromEntries(own), {
      ...{ 'pushfleet-type': 'a%20b', 'pushfleet-retain': 'true', 'pushfleet-ttl': '5' },
      'pushfleet-attribute-colour': 'r%C3%B6d',
    });
  });

  const problem = JSON.stringify({ code: 'rate_limited', detail: 'Slow down.', limit: 7 });
  const refusals: readonly (readonly [string, (response: ServerResponse) => void, object])[] = [
    [
      'in the words of the fleet',
      (to) => to.writeHead(429, { 'retry-after': '3' }).end(problem),
      { code: 'rate_limited', retryAfterMs: 3_000, limit: 7, retryable: true },
    ],
    ['of a proxy', (to) => to.writeHead(502).end('<html>'), { code: 'unreachable', retryable: true }],
    ['that is none', (to) => to.destroy(), { code: 'unreachable' }],
    [
      'that breaks off',
      (to) => to.writeHead(201, { 'content-length': '9' }).write('{', () => to.destroy()),
      { code: 'unreachable' },
    ],
  ];
  for (const [what, answer, wanted] of refusals) {
    it(`rejects with an answer ${what}`, () => assert.rejects(asked(answer, draft('t')), wanted));
  }
});
