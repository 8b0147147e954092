import { type Ask, type Heard, httpRefusal, said, type Way } from './way.ts';

type Headers = Readonly<Record<string, string>>;

interface Wanted {
  readonly method?: string;
  readonly headers?: Headers;
  readonly body?: string | Uint8Array<ArrayBuffer>;
}

/** One request; a stream's body goes on being read. */
export async function request(url: string, token: string | undefined, o: Wanted = {}): Promise<Heard> {
  const { method = 'GET', body } = o;
  const leaving = new AbortController();
  const headers = { ...(token !== undefined && { authorization: `Bearer ${token}` }), ...o.headers };
  const answer = await fetch(url, {
    method,
    headers,
    signal: leaving.signal,
    ...(body !== undefined && { body }),
  });
  // A cookie is what a ticket is exchanged for; nothing else may have a token in it.
  const head = JSON.stringify([...answer.headers].filter(([name]) => name !== 'set-cookie'));
  const type = answer.headers.get('content-type') ?? '';
  if (answer.status === 200 && answer.body !== null && /event-stream|ndjson|html/.test(type)) {
    const state = { text: head };
    void gather(answer.body, state).catch(() => {});
    return { brief: '200', text: () => state.text, close: () => leaving.abort() };
  }
  const text = await answer.text();
  const code = /code\W+([a-z_]+)/.exec(type === 'text/plain' || answer.ok ? '' : text)?.[1];
  return said([answer.status, ...(code === undefined ? [] : [code])].join(' '), head + text);
}

async function gather(body: ReadableStream<Uint8Array>, state: { text: string }): Promise<void> {
  for await (const chunk of body.pipeThrough(new TextDecoderStream())) state.text += chunk;
}

function query({ topic, after, retained }: Ask): string {
  const parameters = new URLSearchParams({ topic });
  if (after !== undefined) parameters.set('after', after);
  if (retained === true) parameters.set('retained', '1');
  return String(parameters);
}

const json = { 'content-type': 'application/json' };
const http = { refusal: httpRefusal };
const streams = { ...http, right: 'subscribe', retains: true, resumes: true } as const;

const reads: readonly Way[] = [
  {
    ...streams,
    name: 'SSE',
    enter: (site, ask) => {
      const { after, ...rest } = ask;
      const resume = after === undefined ? '' : `&last_event_id=${after}`;
      return request(`http://${site.at('edge-sse')}/sse?${query(rest)}${resume}`, ask.token);
    },
  },
  ...['/poll', '/comet/stream', '/comet/frame'].map(
    (path) =>
      ({
        ...streams,
        name: path === '/poll' ? 'long polling' : `Comet ${path.slice(7)}`,
        enter: (site, ask) => {
          const wait = path === '/poll' ? '&wait=1' : '';
          return request(`http://${site.at('edge-longpoll')}${path}?${query(ask)}${wait}`, ask.token);
        },
      }) satisfies Way,
  ),
  {
    ...http,
    name: 'HTTP history',
    right: 'subscribe',
    resumes: true,
    enter: (site, { token, ...ask }) =>
      request(`http://${site.at('publish')}/v1/history?${query({ ...ask, token, retained: false })}`, token),
  },
  {
    ...http,
    name: 'HTTP retained',
    right: 'subscribe',
    exact: true,
    retains: true,
    enter: (site, { token, topic }) =>
      request(
        `http://${site.at('publish')}/v1/topics?${new URLSearchParams({ topic, retained: 'true' })}`,
        token,
      ),
  },
];

const writes: readonly Way[] = [
  {
    ...http,
    name: 'HTTP publish',
    right: 'publish',
    enter: (site, { token, topic, text = '' }) =>
      request(`http://${site.at('publish')}/v1/topics?${new URLSearchParams({ topic })}`, token, {
        method: 'POST',
        body: text,
        headers: { 'content-type': 'text/plain' },
      }),
  },
  {
    name: 'HTTP batch',
    right: 'publish',
    // Each draft is stored or refused by itself.
    refusal: (code) => (code === 'forbidden' ? '207 forbidden' : httpRefusal(code)),
    enter: async (site, { token, topic, text = '' }) => {
      const body = JSON.stringify([{ topic, payload: text }]);
      const heard = await request(`http://${site.at('publish')}/v1/publish`, token, {
        method: 'POST',
        body,
        headers: json,
      });
      const code = /"code":"([a-z_]+)"/.exec(heard.text())?.[1];
      return heard.brief.includes(' ') || code === undefined ? heard : { ...heard, brief: `207 ${code}` };
    },
  },
];

const others: readonly Way[] = [
  {
    ...http,
    name: 'HTTP deletion',
    right: 'manage',
    exact: true,
    enter: (site, { token, topic }) =>
      request(`http://${site.at('publish')}/v1/topics?${new URLSearchParams({ topic })}`, token, {
        method: 'DELETE',
      }),
  },
  {
    ...http,
    name: 'HTTP explanation',
    right: 'manage',
    enter: (site, { token, topic }) =>
      request(`http://${site.at('publish')}/v1/explain?${new URLSearchParams({ topic, id: 'any' })}`, token),
  },
  {
    ...http,
    name: 'SUBSCRIBE over HTTP',
    right: 'subscribe',
    exact: true,
    enter: (site, { token, topic }) =>
      request(`http://${site.at('publish')}/v1/topics?${new URLSearchParams({ topic })}`, token, {
        method: 'SUBSCRIBE',
        headers: { callback: '<https://receiver.example/>', nt: 'upnp:event' },
      }),
  },
  {
    ...http,
    name: 'webhooks',
    right: 'subscribe',
    enter: (site, { token, topic }) =>
      request(`http://${site.at('registry')}/v1/subscriptions`, token, {
        method: 'POST',
        body: JSON.stringify({ filter: topic, url: 'https://receiver.example/', handshake: 'none' }),
        headers: json,
      }),
  },
  {
    ...http,
    name: 'presence',
    right: 'presence',
    exact: true,
    enter: (site, { token, topic }) =>
      request(`http://${site.at('registry')}/v1/presence?${new URLSearchParams({ topic })}`, token),
  },
  {
    ...http,
    name: 'revocations',
    right: 'manage',
    enter: (site, { token }) =>
      request(`http://${site.at('registry')}/v1/revocations`, token, {
        method: 'POST',
        body: JSON.stringify({ subject: 'somebody' }),
        headers: json,
      }),
  },
  {
    ...http,
    name: 'tickets',
    right: 'nothing',
    enter: (site, { token }) =>
      request(`http://${site.at('registry')}/v1/tickets`, token, { method: 'POST' }),
  },
];

export const httpWays: readonly Way[] = [...reads, ...writes, ...others];
