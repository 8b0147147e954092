import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, it } from 'node:test';
import { type ErrorCode, meanings, PushfleetError } from '@pushfleet/core';
import { problem, sendProblem } from './problem.ts';

describe('problem', () => {
  for (const code of Object.keys(meanings) as ErrorCode[]) {
    it(`says ${code} by its status, title and type`, () => {
      const { status, headers, body } = problem(new PushfleetError(code, 'What and what to do.'));
      assert.equal(status, meanings[code].http);
      assert.equal(headers['content-type'], 'application/problem+json');
      assert.equal('retry-after' in headers, meanings[code].retry);
      assert.equal('www-authenticate' in headers, status === 401);
      assert.deepEqual(JSON.parse(body), {
        type: `/problems/${code}`,
        title: meanings[code].title,
        status,
        detail: 'What and what to do.',
        code,
      });
    });
  }

  it('carries detail fields and the instance, and lets no field stand in for a standard member', () => {
    const detail = { limit: 5, status: 200, type: 'x' };
    const { body } = problem(
      new PushfleetError('payload_too_large', 'Too large.', { detail }),
      '/v1/topics/a',
    );
    const members = JSON.parse(body) as Record<string, unknown>;
    assert.equal(members.limit, 5);
    assert.equal(members.status, 413);
    assert.equal(members.type, '/problems/payload_too_large');
    assert.equal(members.instance, '/v1/topics/a');
  });

  it('rounds the time to wait up to whole seconds', () => {
    const after = (retryAfterMs: number): string | undefined =>
      problem(new PushfleetError('rate_limited', 'Slow down.', { retryAfterMs })).headers['retry-after'];
    assert.deepEqual([after(0), after(1), after(1_000), after(1_001)], ['1', '1', '1', '2']);
  });

  it('says nothing of an error that was not meant for callers', () => {
    const { status, body } = problem(new Error('password is hunter2'));
    assert.equal(status, 500);
    assert.ok(!body.includes('hunter2'));
  });
});

describe('sendProblem', () => {
  it('answers, and cuts an answer that has begun', async (t) => {
    const server = createServer((request, response) => {
      if (request.url === '/begun') response.write('some');
      sendProblem(response, new PushfleetError('token_expired', 'It expired.'));
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    t.after(() => server.close());
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const answer = await fetch(url);
    assert.equal(answer.status, 401);
    assert.equal(answer.headers.get('www-authenticate'), 'Bearer realm="pushfleet", error="invalid_token"');
    assert.equal(((await answer.json()) as { code: string }).code, 'token_expired');
    await assert.rejects(async () => (await fetch(`${url}/begun`)).text());
  });
});
