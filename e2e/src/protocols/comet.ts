import { createContext, runInContext } from 'node:vm';
import { type EdgeProtocol, type Line, Refused } from '@pushfleet/contract/edge-suite';
import { arrivalOfMessage, type Message } from './event.ts';
import { authorized, Gate, refusalOf, targetOf } from './http.ts';

/** XHR streaming, as a program with `fetch` reads it: an object for each line. */
export const cometStream: EdgeProtocol = comet('Comet stream', '/comet/stream', (text) => {
  const lines = text.split('\n');
  const rest = lines.pop() ?? '';
  return { rest, objects: lines.filter((line) => line.trim() !== '') };
});

/** The hidden frame, its scripts run one by one as a browser does it, with a page around it. */
export const cometFrame: EdgeProtocol = comet('Comet frame', '/comet/frame', (text) => {
  const end = text.lastIndexOf('</script>') + '</script>'.length;
  if (end < '</script>'.length) return { rest: text, objects: [] };
  const objects: string[] = [];
  const parent = { pushfleet: (object: object) => objects.push(JSON.stringify(object)) };
  const context = createContext({ parent });
  for (const [, script] of text.slice(0, end).matchAll(/<script[^>]*>(.*?)<\/script>/gs)) {
    runInContext(script as string, context);
  }
  return { rest: text.slice(end), objects };
});

/** The frame is a page also where it refuses. */
function refusalIn(messages: readonly Message[]): Refused | undefined {
  const last = messages.find(({ type }) => type === 'closing');
  return last && new Refused(last.code ?? '', last.detail ?? '');
}

type Split = (text: string) => { readonly rest: string; readonly objects: readonly string[] };

function comet(name: string, path: string, split: Split): EdgeProtocol {
  return {
    name,
    service: 'edge-longpoll',
    pulls: false,
    cursors: true,
    async connect(address, ask, on): Promise<Line> {
      const gate = new Gate();
      const leaving = new AbortController();
      const answer = await fetch(targetOf(address, path, ask), {
        headers: authorized(ask.token),
        signal: leaving.signal,
      });
      if (answer.status !== 200 || answer.body === null) {
        const said = split(await answer.clone().text()).objects.map(
          (object) => JSON.parse(object) as Message,
        );
        throw refusalIn(said) ?? (await refusalOf(answer));
      }
      const { promise: stands, resolve, reject } = Promise.withResolvers<void>();
      const hear = (message: Message): void => {
        const arrival = arrivalOfMessage(message);
        if (arrival !== undefined) on(arrival);
        if (message.type === 'open') resolve();
        if (message.type === 'closing') reject(new Refused(message.code ?? '', message.detail ?? ''));
      };
      const read = async (body: ReadableStream<Uint8Array>): Promise<void> => {
        let text = '';
        for await (const chunk of gate.through(body).pipeThrough(new TextDecoderStream())) {
          const { rest, objects } = split(text + chunk);
          text = rest;
          for (const object of objects) hear(JSON.parse(object) as Message);
        }
      };
      void read(answer.body)
        .catch(() => {})
        .finally(() => {
          reject(new Refused('cut', 'the connection broke'));
          if (!leaving.signal.aborted) on({ kind: 'end', code: 'cut', reconnect: true });
        });
      await stands;
      return {
        close: () => leaving.abort(),
        pause: () => gate.shut(),
        resume: () => gate.open(),
      };
    },
  };
}
