// The script of "helm test": publishes, and waits until the publication comes back, as a client inside the cluster.
import { createHmac, randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';

const { TEST_PUBLISH_URL, TEST_SSE_URL, PUSHFLEET_TOKEN_FILE, PUSHFLEET_TOKEN_SECRET_FILE } = process.env;
const { PUSHFLEET_TOKEN_ISSUER: iss, PUSHFLEET_TOKEN_AUDIENCE: aud } = process.env;
const text = (path) => readFileSync(path, 'utf8').replace(/\r?\n$/, '');

function token() {
  if (PUSHFLEET_TOKEN_FILE) return text(PUSHFLEET_TOKEN_FILE);
  if (!PUSHFLEET_TOKEN_SECRET_FILE)
    throw new Error('There is neither test.token nor files.PUSHFLEET_TOKEN_SECRET to come by a token.');
  const now = Math.floor(Date.now() / 1000);
  const filters = ['helm-test/#'];
  const claims = { sub: 'helm-test', iss, aud, iat: now, exp: now + 300 };
  const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const grants = { pushfleet: { publish: filters, subscribe: filters } };
  const signed = `${part({ alg: 'HS256', typ: 'JWT' })}.${part({ ...claims, ...grants })}`;
  const mac = createHmac('sha256', text(PUSHFLEET_TOKEN_SECRET_FILE)).update(signed).digest('base64url');
  return `${signed}.${mac}`;
}

const authorization = `Bearer ${token()}`;
const signal = AbortSignal.timeout(60_000);
const topic = `helm-test/${randomUUID()}`;

/** @throws Error with what the other side said; `final` where trying again would not help */
async function call(url, init = {}) {
  const headers = { ...init.headers, authorization };
  const answer = await fetch(url, { ...init, headers, signal });
  if (answer.ok) return answer;
  const error = new Error(`${url} answered ${answer.status}: ${await answer.text()}`);
  throw Object.assign(error, { final: answer.status < 500 && answer.status !== 429 });
}

/** Services may still be starting: tries again until the patience is over. */
async function insist(what, work) {
  for (;;) {
    try {
      return await work();
    } catch (error) {
      const reason = error.cause?.message ?? error.message;
      if (signal.aborted || error.final) throw new Error(`${what} failed: ${reason}`);
      console.log(`${what}: ${reason}; trying again`);
      await new Promise((resolve) => setTimeout(resolve, 1_000));
    }
  }
}

async function publish() {
  const init = {
    method: 'POST',
    body: topic,
    headers: { 'content-type': 'text/plain', 'idempotency-key': topic },
  };
  const answer = await insist('publishing', () => call(`${TEST_PUBLISH_URL}/v1/topics/${topic}`, init));
  console.log(`published: ${await answer.text()}`);
}

/** Reads on until the text is there. */
async function hear(chunks, wanted) {
  let heard = '';
  for (;;) {
    const { value, done } = await chunks.next();
    if (done) throw new Error(`The stream ended without ${wanted}: ${heard}`);
    heard += value;
    if (heard.includes(wanted)) return;
  }
}

if (TEST_SSE_URL) {
  const url = `${TEST_SSE_URL}/sse?topic=${encodeURIComponent(topic)}`;
  const stream = await insist('listening', () => call(url));
  const chunks = stream.body.pipeThrough(new TextDecoderStream())[Symbol.asyncIterator]();
  await hear(chunks, 'event: pushfleet.open');
  await publish();
  await hear(chunks, `data: ${topic}`);
  console.log('received over server-sent events');
} else {
  await publish();
  const url = `${TEST_PUBLISH_URL}/v1/history?topic=${encodeURIComponent(topic)}`;
  await insist('reading', async () => {
    const history = await (await call(url)).text();
    if (!history.includes(topic)) throw new Error(`the publication is not there: ${history}`);
  });
  console.log('received from the log');
}
process.exit(0);
