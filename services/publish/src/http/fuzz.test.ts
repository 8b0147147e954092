import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { PushfleetError, percentDecode } from '@pushfleet/core';
import { parseTarget, topicOf } from '@pushfleet/runtime';
import fc from 'fast-check';
import { startHttp, token } from '../testing.ts';
import { readHeaders } from './draft.ts';
import { readBatch } from './json-draft.ts';

/** Runs it; whatever it throws must be an error meant for the caller. */
function refusesOrReturns<T>(run: () => T): T | undefined {
  try {
    return run();
  } catch (error) {
    assert.ok(error instanceof PushfleetError && error.code !== 'internal', `threw ${error}`);
    return undefined;
  }
}

const bytes = fc.uint8Array({ maxLength: 300 });
const latin1 = bytes.map((array) => Buffer.from(array).toString('latin1'));

describe('parsers', () => {
  test('a topic survives the path and the query', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', minLength: 1 }), (topic) => {
        const escaped = encodeURIComponent(topic);
        assert.equal(topicOf(parseTarget(`/v1/topics/${escaped}`)), topic);
        assert.equal(topicOf(parseTarget(`/v1/topics/${escaped.replaceAll('%2F', '/')}`)), topic);
        assert.equal(topicOf(parseTarget(`/v1/topics?topic=${escaped}`)), topic);
      }),
    );
  });

  test('any target is a topic or a refusal', () => {
    fc.assert(fc.property(latin1, (text) => void refusesOrReturns(() => topicOf(parseTarget(text)))));
    fc.assert(
      fc.property(latin1, (text) => void refusesOrReturns(() => topicOf(parseTarget(`/v1/topics/${text}`)))),
    );
  });

  test('percent-decoding undoes encodeURIComponent, once', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        assert.equal(percentDecode(encodeURIComponent(text), 'topic_invalid', 'topic'), text);
      }),
    );
  });

  test('any headers are a submission or a refusal', () => {
    const name = fc.oneof(
      fc.constantFrom(
        'idempotency-key',
        'content-type',
        'pushfleet-type',
        'pushfleet-ttl',
        'pushfleet-retain',
      ),
      latin1.map((text) => `pushfleet-attribute-${text}`),
      latin1,
    );
    fc.assert(
      fc.property(fc.array(fc.tuple(name, latin1), { maxLength: 8 }), (pairs) => {
        const headersDistinct: Record<string, string[]> = Object.create(null);
        for (const [key, value] of pairs) {
          headersDistinct[key] ??= [];
          headersDistinct[key].push(value);
        }
        refusesOrReturns(() => readHeaders({ headersDistinct, rawHeaders: pairs.flat() }));
      }),
    );
  });

  test('any body is a batch or a refusal', () => {
    fc.assert(fc.property(bytes, (body) => void refusesOrReturns(() => readBatch(body))));
    const draft = fc.oneof(
      fc.jsonValue(),
      fc.record(
        {
          topic: fc.jsonValue(),
          id: fc.jsonValue(),
          contentType: fc.oneof(fc.constantFrom('application/json', 'text/plain'), fc.jsonValue()),
          payload: fc.jsonValue(),
          payloadBase64: fc.jsonValue(),
          attributes: fc.jsonValue(),
          ttl: fc.jsonValue(),
        },
        { requiredKeys: [] },
      ),
    );
    fc.assert(
      fc.property(fc.array(draft, { minLength: 1, maxLength: 4 }), (drafts) => {
        const results = refusesOrReturns(() => readBatch(Buffer.from(JSON.stringify(drafts))));
        assert.equal(results?.length, drafts.length);
        for (const result of results ?? []) {
          if (result instanceof PushfleetError) assert.notEqual(result.code, 'internal');
        }
      }),
    );
  });
});

describe('the server', () => {
  let api: Awaited<ReturnType<typeof startHttp>>;
  before(async () => {
    api = await startHttp({ bodyTimeoutMs: 200 });
  });
  after(() => api.stop());

  /** Sends bytes, then half-closes; resolves with everything answered. */
  function exchange(data: Buffer): Promise<string> {
    return new Promise((resolve) => {
      const socket = connect({ port: api.api.port, host: '127.0.0.1' });
      const chunks: Buffer[] = [];
      socket.on('data', (chunk) => chunks.push(chunk));
      socket.on('error', () => {});
      socket.on('close', () => resolve(Buffer.concat(chunks).toString('latin1')));
      socket.end(data);
    });
  }

  const authorization = `authorization: Bearer ${token()}\r\n`;
  const noise = bytes.map((array) => Buffer.from(array));
  const request = fc
    .record({
      method: fc.constantFrom('POST', 'GET', 'PUT', 'HEAD', 'OPTIONS'),
      path: fc.oneof(
        fc.webPath().map((path) => `/v1/topics${path}`),
        fc.webPath(),
        latin1.map((text) => `/v1/topics/${text.replace(/[\s]/g, '')}`),
      ),
      headers: fc.array(
        fc.tuple(
          fc.constantFrom(
            'idempotency-key',
            'pushfleet-ttl',
            'pushfleet-attribute-x',
            'content-type',
            'expect',
            'content-encoding',
            'ce-specversion',
            'ce-id',
            'ce-a',
            'accept',
          ),
          fc.oneof(
            fc.constantFrom('1.0', 'application/cloudevents+json', 'application/cloudevents-batch+json'),
            latin1.map((text) => text.replace(/[\r\n\0]/g, '')),
          ),
        ),
        { maxLength: 4 },
      ),
      body: noise,
      said: fc.nat(600),
    })
    .map(({ method, path, headers, body, said }) =>
      Buffer.concat([
        Buffer.from(
          `${method} ${path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n${authorization}content-length: ${said}\r\n${headers
            .map(([name, value]) => `${name}: ${value}\r\n`)
            .join('')}\r\n`,
          'latin1',
        ),
        body,
      ]),
    );

  test('survives noise, and answers what looks like a request', async () => {
    await fc.assert(
      fc.asyncProperty(fc.oneof(noise, request), async (data) => {
        const answer = await exchange(data);
        if (answer !== '') assert.match(answer, /^HTTP\/1\.1 \d{3} /);
        assert.doesNotMatch(answer, /^HTTP\/1\.1 500/);
      }),
      { numRuns: 300 },
    );
    const response = await fetch(`${api.url}/v1/topics/alive`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token()}` },
    });
    assert.equal(response.status, 201);
    assert.equal(api.budget.held, 0);
  });
});
