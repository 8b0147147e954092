import { type Ask, type EdgeProtocol, type Line, Refused } from '@pushfleet/contract/edge-suite';
import { EventSource } from 'eventsource';
import { arrivalOf } from './event.ts';
import { authorized, Gate, refusalOf, targetOf } from './http.ts';

/** Server-sent events by npm's `eventsource`, kept from coming back by itself. */
export const sse: EdgeProtocol = {
  name: 'SSE',
  service: 'edge-sse',
  pulls: false,
  cursors: true,
  async connect(address, ask, on): Promise<Line> {
    const gate = new Gate();
    const { promise: stands, resolve, reject } = Promise.withResolvers<void>();
    const source = new EventSource(urlOf(address, ask), {
      fetch: async (input, init) => {
        const headers = { ...init.headers, ...authorized(ask.token) };
        const answer = await fetch(input, { ...init, headers });
        if (answer.status !== 200) reject(await refusalOf(answer.clone()));
        if (answer.body === null) return answer;
        const { status } = answer;
        return new Response(gate.through(answer.body), { status, headers: answer.headers });
      },
    });
    const close = () => source.close();
    source.addEventListener('pushfleet.open', ({ data }) => {
      on({ kind: 'place', cursor: JSON.parse(data).cursor });
      resolve();
    });
    source.addEventListener('message', ({ data }) => on(arrivalOf(JSON.parse(data))));
    source.addEventListener('pushfleet.gap', ({ data }) => on({ kind: 'gap', ...JSON.parse(data) }));
    source.addEventListener('pushfleet.close', ({ data }) => {
      const { code, detail, reconnect } = JSON.parse(data);
      close();
      reject(new Refused(code, detail));
      on({ kind: 'end', code, reconnect });
    });
    source.addEventListener('error', ({ message }) => {
      close();
      reject(new Refused('cut', message ?? 'the connection broke'));
      on({ kind: 'end', code: 'cut', reconnect: true });
    });
    await stands;
    return { close, pause: () => gate.shut(), resume: () => gate.open() };
  },
};

function urlOf(address: string, ask: Ask): URL {
  const url = targetOf(address, '/sse', { ...ask, after: undefined });
  url.searchParams.set('format', 'cloudevents');
  if (ask.after !== undefined) url.searchParams.set('last_event_id', ask.after);
  return url;
}
