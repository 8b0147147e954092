import assert from 'node:assert/strict';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { describe, it } from 'node:test';
import { PushfleetError } from '@pushfleet/core';
import { byMethod, refuseRequest, requireJson } from './http-request.ts';

const asking = (method: string) => ({ method }) as IncomingMessage;

describe('byMethod', () => {
  const headers = new Map<string, unknown>();
  const response = { setHeader: (name: string, value: unknown) => headers.set(name, value) };
  const called: string[] = [];
  const handler = byMethod({
    GET: ({ method = '' }) => void called.push(`get by ${method}`),
    POST: () => void called.push('post'),
  });
  const ask = (method: string) => handler(asking(method), response as unknown as ServerResponse);

  it('hands the request to its method, and HEAD to GET', () => {
    for (const method of ['GET', 'HEAD', 'POST']) void ask(method);
    assert.deepEqual(called, ['get by GET', 'get by HEAD', 'post']);
  });

  it('names the methods there are', () => {
    assert.throws(
      () => ask('DELETE'),
      (error: PushfleetError) =>
        error.code === 'method_not_allowed' && error.message.endsWith('use GET or HEAD or POST.'),
    );
    assert.equal(headers.get('allow'), 'GET, HEAD, POST');
  });
});

describe('requireJson', () => {
  const check = (contentType?: string) => () =>
    requireJson({ headers: { 'content-type': contentType } } as IncomingMessage);

  for (const accepted of ['application/json', 'Application/JSON; charset="UTF-8"']) {
    it(`accepts ${accepted}`, check(accepted));
  }

  for (const refused of [undefined, 'text/plain', 'application/json; charset=latin1', 'application/jsonl']) {
    it(`refuses ${refused}`, () =>
      assert.throws(check(refused), { code: 'unsupported_media_type' } as Partial<PushfleetError>));
  }
});

it('refuseRequest answers while the body is still on its way', async (t) => {
  const server = createServer((request, response) =>
    refuseRequest(request, response, new PushfleetError('forbidden', 'No.'), '/a'),
  );
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
  socket.write('POST /a HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\na');
  let answer = '';
  for await (const chunk of socket) {
    answer += chunk;
    // The whole answer is here before the body has ended.
    if (answer.endsWith('}')) socket.write('bc');
  }
  assert.match(answer, /^HTTP\/1\.1 403 [\s\S]*connection: close[\s\S]*"instance":"\/a"/i);
});
