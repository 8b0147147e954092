import { setTimeout as sleep } from 'node:timers/promises';
import {
  type Arrival,
  type Ask,
  comesBack,
  type EdgeProtocol,
  type Line,
  Refused,
} from '@pushfleet/contract/edge-suite';
import { arrivalOf } from './event.ts';
import { authorized, Gate, refusalOf, targetOf } from './http.ts';

interface Batch {
  readonly cursor: string;
  readonly items: readonly {
    readonly event?: unknown;
    readonly retained?: boolean;
    readonly gap?: { readonly from: string; readonly to: string };
  }[];
}

/** Long polling, as a program with `fetch` does it. */
export const longPoll: EdgeProtocol = {
  name: 'long polling',
  service: 'edge-longpoll',
  pulls: true,
  cursors: true,
  async connect(address, ask, on): Promise<Line> {
    const gate = new Gate();
    const leaving = new AbortController();
    // The first request without a cursor answers at once: it brings the place and what is retained.
    let cursor = ask.after ?? (await poll(address, ask, leaving.signal, on));
    if (ask.after !== undefined) cursor = await poll(address, ask, leaving.signal, on, '0');
    const go = async (): Promise<void> => {
      while (!leaving.signal.aborted) {
        await gate.pass();
        cursor = await poll(address, { ...ask, after: cursor }, leaving.signal, on);
      }
    };
    void go().catch((error) => {
      if (leaving.signal.aborted) return;
      const code = error instanceof Refused ? error.code : 'cut';
      on({ kind: 'end', code, reconnect: comesBack(code) });
    });
    return {
      close: () => leaving.abort(),
      pause: () => gate.shut(),
      resume: () => gate.open(),
    };
  },
};

/** One request; answers with the place behind what it brought. @throws Refused */
async function poll(
  address: string,
  ask: Ask,
  signal: AbortSignal,
  on: (arrival: Arrival) => void,
  wait = '20',
): Promise<string> {
  const { after } = ask;
  const answer = await fetch(targetOf(address, '/poll', { ...ask, after: undefined }), {
    signal,
    headers: {
      ...authorized(ask.token),
      Prefer: `wait=${wait}`,
      ...(after !== undefined && { 'If-None-Match': `"${after}"` }),
    },
  });
  const tag = (): string => (answer.headers.get('etag') ?? '').replaceAll('"', '');
  if (answer.status === 204) return tag();
  if (answer.status !== 200) {
    const refusal = await refusalOf(answer);
    const seconds = Number(answer.headers.get('retry-after') ?? 0);
    if (seconds > 0) await sleep(Math.min(seconds, 1) * 1_000);
    throw refusal;
  }
  const { cursor, items } = (await answer.json()) as Batch;
  for (const { event, retained = false, gap } of items) {
    on(gap === undefined ? arrivalOf(event, retained) : { kind: 'gap', ...gap });
  }
  on({ kind: 'place', cursor });
  return cursor;
}
