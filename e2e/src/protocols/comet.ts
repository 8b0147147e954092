import { type EdgeProtocol, type Line, Refused } from '@pushfleet/contract/edge-suite';
import { arrivalOfMessage, type Message } from './event.ts';
import { authorized, Gate, refusalOf, targetOf } from './http.ts';

/** XHR streaming, as a program with `fetch` reads it: an object for each line. */
export const cometStream: EdgeProtocol = comet('Comet stream', '/comet/stream', (text) => {
  const lines = text.split('\n');
  const rest = lines.pop() ?? '';
  return { rest, objects: lines.filter((line) => line.trim() !== '') };
});

/** The hidden frame, read as a browser would: each script's call of the parent page. */
export const cometFrame: EdgeProtocol = comet('Comet frame', '/comet/frame', (text) => {
  const end = text.lastIndexOf('</script>') + '</script>'.length;
  if (end < '</script>'.length) return { rest: text, objects: [] };
  const calls = text.slice(0, end).matchAll(/<script[^>]*>\s*parent\.pushfleet\((.*?)\);?\s*<\/script>/gs);
  return { rest: text.slice(end), objects: [...calls].map(([, argument]) => argument as string) };
});

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
      if (answer.status !== 200 || answer.body === null) throw await refusalOf(answer);
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
