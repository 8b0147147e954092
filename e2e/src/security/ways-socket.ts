import { text as textOf } from 'node:stream/consumers';
import { until } from '@pushfleet/contract';
import { WebSocket } from 'ws';
import { type Ask, type Heard, httpRefusal, type Way } from './way.ts';
import { request } from './ways-http.ts';

interface Message {
  readonly type: string;
  readonly code?: string;
}

/** How a client of `pushfleet.v1` brings its token. */
type Bring = 'header' | 'first message';

/** A connection that asks one thing; what it hears afterwards is gathered. */
async function ask(address: string, token: string | undefined, bring: Bring, wish: object): Promise<Heard> {
  const inHeader = bring === 'header' && token !== undefined;
  const headers = inHeader ? { authorization: `Bearer ${token}` } : {};
  const socket = new WebSocket(`ws://${address}/ws`, 'pushfleet.v1', { headers });
  const state: { text: string; brief?: string; code?: string } = { text: '' };
  socket.on('unexpected-response', async (sent, response) => {
    state.text += JSON.stringify(response.headers) + (await textOf(response));
    state.brief = `${response.statusCode} ${/"code":"([a-z_]+)"/.exec(state.text)?.[1]}`;
    sent.destroy();
  });
  socket.on('error', () => {});
  socket.on('open', () => {
    if (inHeader) return;
    socket.send(JSON.stringify(token === undefined ? wish : { type: 'auth', token }));
  });
  socket.on('message', (data) => {
    const text = String(data);
    state.text += text;
    const { type, code } = JSON.parse(text.slice(text.indexOf('{'))) as Message;
    if (type === 'welcome') socket.send(JSON.stringify(wish));
    if (type === 'closing') state.code = code as string;
    else if (type === 'error') state.brief ??= `error ${code}`;
    else if (type === 'subscribed' || type === 'published') state.brief ??= type;
  });
  socket.on('close', (code) => {
    state.brief ??= `${code} ${state.code}`;
  });
  await until(() => state.brief !== undefined, 'an answer over WebSocket');
  return { brief: state.brief as string, text: () => state.text, close: () => socket.terminate() };
}

const wishes = {
  subscribe: ({ topic, after, retained }: Ask) => ({
    type: 'subscribe',
    id: 1,
    filters: [topic],
    after,
    retained,
  }),
  publish: ({ topic, text }: Ask) => ({ type: 'publish', id: 1, topic, data: text }),
};

const socketWay = (bring: Bring, right: 'subscribe' | 'publish'): Way => ({
  name: `WebSocket ${right}, token in the ${bring}`,
  right,
  ...(right === 'subscribe' && { retains: true, resumes: true }),
  refusal: (code) => {
    if (code === 'forbidden') return 'error forbidden';
    return bring === 'header' ? httpRefusal(code) : `4401 ${code}`;
  },
  // Who brings none may yet bring one.
  withoutToken: '4401 unauthenticated',
  enter: (site, wish) => ask(site.at('edge-websocket'), wish.token, bring, wishes[right](wish)),
});

interface BayeuxMessage {
  readonly channel: string;
  readonly successful?: boolean;
  readonly clientId?: string;
  readonly error?: string;
  readonly ext?: { readonly pushfleet?: { readonly code?: string } };
}

/** Says Bayeux messages, by whichever transport, and resolves to the answers. */
type Speak = (...messages: readonly object[]) => Promise<readonly BayeuxMessage[]>;

interface Line {
  readonly speak: Speak;
  text(): string;
  close(): void;
}

function overHttp(address: string, token: string | undefined): Line {
  let text = '';
  return {
    speak: async (...messages) => {
      const body = JSON.stringify(messages);
      const headers = { 'content-type': 'application/json' };
      const heard = await request(`http://${address}/bayeux`, token, { method: 'POST', body, headers });
      text += heard.text();
      return JSON.parse(heard.text().slice(heard.text().indexOf(']]') + 2)) as BayeuxMessage[];
    },
    text: () => text,
    close: () => {},
  };
}

async function overSocket(address: string): Promise<Line> {
  const socket = new WebSocket(`ws://${address}/bayeux`, 'bayeux');
  const answers: BayeuxMessage[] = [];
  let closed = false;
  socket.on('message', (data) => answers.push(...(JSON.parse(String(data)) as BayeuxMessage[])));
  socket
    .on('error', () => {})
    .on('close', () => {
      closed = true;
    });
  await until(() => socket.readyState === WebSocket.OPEN || closed, 'a WebSocket for Bayeux');
  return {
    speak: async (...messages) => {
      const before = answers.length;
      socket.send(JSON.stringify(messages));
      await until(() => answers.length >= before + messages.length || closed, 'answers of Bayeux');
      return answers.slice(before);
    },
    text: () => JSON.stringify(answers),
    close: () => socket.terminate(),
  };
}

const handshakeOf = (type: string, token?: string) => ({
  channel: '/meta/handshake',
  version: '1.0',
  id: '1',
  supportedConnectionTypes: [type],
  ...(token !== undefined && { ext: { pushfleet: { token } } }),
});

const channelOf = (topic: string): string =>
  `/${topic.replace(/(^|\/)\+$/, '$1*').replace(/(^|\/)#$/, '$1**')}`;

const briefOf = (answer: BayeuxMessage | undefined): string =>
  answer?.successful === true
    ? 'successful'
    : `${answer?.error?.split(':')[0]} ${answer?.ext?.pushfleet?.code}`;

const actOf = { subscribe: subscribing, publish: publishing };

function subscribing(clientId: string, { topic, after, retained }: Ask): object {
  const ext = {
    pushfleet: { ...(after !== undefined && { after }), ...(retained === true && { retained }) },
  };
  return { channel: '/meta/subscribe', clientId, id: '2', subscription: channelOf(topic), ext };
}

function publishing(clientId: string, { topic, text }: Ask): object {
  return { channel: channelOf(topic), clientId, id: '2', data: text };
}

const bayeuxWay = (transport: 'long-polling' | 'websocket', right: 'subscribe' | 'publish'): Way => ({
  name: `Bayeux ${right}, ${transport}`,
  right,
  ...(right === 'subscribe' && { retains: true, resumes: true }),
  refusal: httpRefusal,
  enter: async (site, wish) => {
    const address = site.at('edge-longpoll');
    const line = transport === 'websocket' ? await overSocket(address) : overHttp(address, wish.token);
    const [shaken] = await line.speak(
      handshakeOf(transport, transport === 'websocket' ? wish.token : undefined),
    );
    const heard = { text: line.text, close: line.close };
    if (shaken?.successful !== true) return { ...heard, brief: briefOf(shaken) };
    const { clientId = '' } = shaken;
    const [answer] = await line.speak(actOf[right](clientId, wish));
    if (answer?.successful === true && right === 'subscribe') {
      void listen(line, clientId, transport).catch(() => {});
    }
    return { ...heard, brief: briefOf(answer) };
  },
});

/** Until the line is closed; what comes stands in its text. */
async function listen({ speak }: Line, clientId: string, connectionType: string): Promise<void> {
  // The first is answered at once, to say that there is a session.
  for (let id = 10; id < 13; id++)
    await speak({ channel: '/meta/connect', clientId, id: String(id), connectionType });
}

const rights = ['subscribe', 'publish'] as const;

export const socketWays: readonly Way[] = rights.flatMap((right) => [
  socketWay('header', right),
  socketWay('first message', right),
  bayeuxWay('long-polling', right),
  bayeuxWay('websocket', right),
]);
