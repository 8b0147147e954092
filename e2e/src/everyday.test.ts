import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { until } from '@pushfleet/contract';
import { EventSource } from 'eventsource';
import { Fleet, token } from './fleet.ts';
import { bearer, publishClient, type Receipt } from './grpc.ts';

const run = promisify(execFile);

let fleet: Fleet;
before(async () => {
  fleet = await Fleet.start({ edges: 2 });
});
after(() => fleet.stop());

/** What a page would write: an EventSource with a token in its header. */
function listen(filters: readonly string[], authorization: string): { source: EventSource; data: string[] } {
  const url = new URL(`http://${fleet.sse.address}/sse`);
  for (const filter of filters) url.searchParams.append('topic', filter);
  const data: string[] = [];
  const source = new EventSource(url, {
    fetch: (input, init) =>
      fetch(input, { ...init, headers: { ...init?.headers, Authorization: `Bearer ${authorization}` } }),
  });
  source.addEventListener('message', (event) => data.push(event.data));
  return { source, data };
}

async function curl(
  topic: string,
  body: string,
  authorization: string,
): Promise<{ status: string; json: Receipt['receipt'] }> {
  const { stdout } = await run('curl', [
    '--silent',
    '--show-error',
    '--write-out',
    '\n%{http_code}',
    '--header',
    `Authorization: Bearer ${authorization}`,
    '--header',
    'Content-Type: text/plain',
    '--data-binary',
    body,
    `http://${fleet.http.address}/v1/topics/${topic}`,
  ]);
  const [json, status] = stdout.split('\n') as [string, string];
  return { status, json: JSON.parse(json) };
}

const publishByGrpc = (draft: object, authorization: string): Promise<Receipt> =>
  new Promise((resolve, reject) => {
    const client = publishClient(fleet.grpc.address);
    client.publish({ draft }, bearer(authorization), (error, receipt) => {
      client.close();
      if (error === null) resolve(receipt);
      else reject(error);
    });
  });

test('curl and gRPC publish; each EventSource receives what its filters match, in order', async () => {
  const all = await token({ publish: ['#'], subscribe: ['#'] });
  const orders = listen(['orders/+'], all);
  const everything = listen(['#', 'orders/1'], all);
  await until(
    () => [orders, everything].every(({ source }) => source.readyState === EventSource.OPEN),
    'both to be open',
  );

  const first = await curl('orders/1', 'one', all);
  assert.equal(first.status, '201');
  assert.equal(first.json.topic, 'orders/1');
  const draft = { id: 'two', topic: 'orders/1', contentType: 'text/plain', payload: Buffer.from('two') };
  const second = await publishByGrpc(draft, all);
  assert.equal(second.receipt.id, 'two');
  assert.equal((await publishByGrpc(draft, all)).receipt.duplicate, true);
  await curl('weather', 'three', all);

  await until(() => everything.data.length >= 3, 'three events');
  assert.deepEqual(everything.data, ['one', 'two', 'three']);
  assert.deepEqual(orders.data, ['one', 'two']);
  for (const { source } of [orders, everything]) source.close();
});

test('a client that comes back to another edge receives what it missed, once', async () => {
  const all = await token({ publish: ['#'], subscribe: ['#'] });
  const { source, data } = listen(['resume/a', 'resume/+'], all);
  await until(() => source.readyState === EventSource.OPEN, 'the client to be open');
  await curl('resume/a', '1', all);
  await until(() => data.length === 1, 'the first event');
  await fleet.end(fleet.edges, 'SIGKILL'); // one of two: perhaps this client's
  await fleet.end(fleet.edges, 'SIGKILL');
  for (const number of ['2', '3', '4']) await curl('resume/a', number, all);
  await fleet.startEdge();
  await fleet.startEdge();
  await until(() => data.length >= 4, 'what was published meanwhile');
  await curl('resume/b', '5', all);
  await until(() => data.length >= 5, 'what is published after');
  assert.deepEqual(data, ['1', '2', '3', '4', '5']);
  source.close();
});

test('two namespaces never see each other', async () => {
  const [red, blue] = (await Promise.all(
    ['red', 'blue'].map((ns) => token({ ns, publish: ['#'], subscribe: ['#'] })),
  )) as [string, string];
  const inRed = listen(['#', 'shared/topic'], red);
  const inBlue = listen(['#', 'shared/topic'], blue);
  await until(
    () => [inRed, inBlue].every(({ source }) => source.readyState === EventSource.OPEN),
    'both to be open',
  );
  // The same id on the same topic from the same source: neither may swallow the other.
  const draft = (text: string) => ({
    id: 'same',
    source: 's',
    topic: 'shared/topic',
    payload: Buffer.from(text),
    contentType: 'text/plain',
  });
  assert.equal((await publishByGrpc(draft('red'), red)).receipt.duplicate, false);
  assert.equal((await publishByGrpc(draft('blue'), blue)).receipt.duplicate, false);
  await until(() => inRed.data.length > 0 && inBlue.data.length > 0, 'each to receive its own');
  await curl('shared/topic', 'end', red);
  await curl('shared/topic', 'end', blue);
  await until(() => inRed.data.length > 1 && inBlue.data.length > 1, 'each to receive its end');
  assert.deepEqual(
    [inRed.data, inBlue.data],
    [
      ['red', 'end'],
      ['blue', 'end'],
    ],
  );
  for (const { source } of [inRed, inBlue]) source.close();
});

test('without a token, or with the wrong one, nothing is given and nothing is taken', async () => {
  const narrow = await token({ publish: ['mine/#'], subscribe: ['mine/#'] });
  assert.equal((await fetch(`http://${fleet.sse.address}/sse?topic=a`)).status, 401);
  assert.equal(
    (await fetch(`http://${fleet.http.address}/v1/topics/a`, { method: 'POST', body: 'x' })).status,
    401,
  );
  const refused = await curl('yours/1', 'x', narrow);
  assert.equal(refused.status, '403');
  const filter = await fetch(`http://${fleet.sse.address}/sse?topic=%23`, {
    headers: { Authorization: `Bearer ${narrow}` },
  });
  assert.equal(filter.status, 403);
  assert.equal(filter.headers.get('content-type'), 'application/problem+json');
  await filter.body?.cancel();
  await assert.rejects(
    publishByGrpc({ topic: '$fleet/x', payload: Buffer.from('x') }, await token({ publish: ['#'] })),
    {
      code: 7,
    },
  );
});
