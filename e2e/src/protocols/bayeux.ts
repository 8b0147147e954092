import { type Ask, type EdgeProtocol, type Line, Refused } from '@pushfleet/contract/edge-suite';
import { AckExtension, CometD, type Message } from 'cometd';
import { adapt } from 'cometd-nodejs-client';
import { authorized, Gate } from './http.ts';

adapt(); // A global `window`, which the client is written for.

/** Bayeux by CometD's own client, over long polling, with acknowledgements. */
export const bayeux: EdgeProtocol = {
  name: 'Bayeux',
  service: 'edge-longpoll',
  pulls: true,
  cursors: true,
  // Wildcards are at the end of a channel alone.
  takes: (filter) => /^[^+#]*[+#]?$/.test(filter),
  async connect(address, ask, on): Promise<Line> {
    const requests = new Requests(address);
    const client = new CometD();
    client.unregisterTransport('websocket');
    client.unregisterTransport('callback-polling');
    client.configure({
      url: `http://${address}/bayeux`,
      requestHeaders: authorized(ask.token),
      backoffIncrement: 100,
      maxBackoff: 500,
      logLevel: 'warn',
    });
    requests.carry(client);
    client.registerExtension('ack', new AckExtension());
    let ended: string | undefined;
    const close = (): void => {
      requests.close();
      client.disconnect();
    };
    client.registerExtension('watch', {
      // What arrives, once each, before the client hands it to whichever of its subscriptions match.
      incoming: (message) => {
        const end = endOf(message);
        if (end !== undefined) {
          ended = end.code;
          on({ kind: 'end', ...end });
          close();
        } else if (message.channel === '/service/gap') on({ kind: 'gap', ...message.data });
        else if (isEvent(message)) on(arrivalOf(message));
        return message;
      },
    });
    try {
      accepted(await new Promise<Message>((resolve) => client.handshake(resolve)));
      await Promise.all(ask.filters.map(async (filter) => accepted(await subscribe(client, filter, ask))));
    } catch (error) {
      close();
      // A token may end between the handshake and the rest.
      throw ended === undefined ? error : new Refused(ended, String(error));
    }
    return {
      close,
      pause: () => requests.gate.shut(),
      resume: () => requests.gate.open(),
      move: (to) => requests.move(to),
    };
  },
};

const subscribe = (client: CometD, filter: string, { after, retained }: Ask): Promise<Message> =>
  new Promise((resolve) => {
    const ext = {
      pushfleet: { ...(after !== undefined && { after }), ...(retained === true && { retained }) },
    };
    client.subscribe(channelOf(filter), () => {}, { ext }, resolve);
  });

/** `a/+` is `/a/*`, `a/#` is `/a/**`: Bayeux 1.0, "Channel Globbing". */
const channelOf = (filter: string): string =>
  `/${filter.replace(/(^|\/)\+$/, '$1*').replace(/(^|\/)#$/, '$1**')}`;

interface OwnExt {
  readonly id: string;
  readonly source: string;
  readonly cursor: string;
  readonly retained?: boolean;
  readonly code: string;
  readonly detail: string;
}

const ownExt = ({ ext }: Message): OwnExt | undefined =>
  (ext as { pushfleet?: OwnExt } | undefined)?.pushfleet;

const isEvent = (message: Message): boolean =>
  !/^\/(meta|service)\//.test(message.channel) && message.data !== undefined;

function arrivalOf(message: Message) {
  const { id, source, cursor, retained = false } = ownExt(message) as OwnExt;
  const topic = message.channel.slice(1);
  const text = typeof message.data === 'string' ? message.data : JSON.stringify(message.data);
  return { kind: 'publication', value: { id, source, topic, text, retained }, cursor } as const;
}

/** That the session is over: told where a connect waits, else to the handshake that the client tries next. */
function endOf(message: Message): { code: string; reconnect: boolean } | undefined {
  const code = ownExt(message)?.code;
  if (!/^\/meta\/(connect|handshake)$/.test(message.channel) || code === undefined) return undefined;
  return /^token_/.test(code) ? { code, reconnect: false } : undefined;
}

function accepted(answer: Message): void {
  if (answer.successful === true) return;
  const { code = 'cut', detail = answer.error ?? 'the connection broke' } = ownExt(answer) ?? {};
  throw new Refused(sessionGone.test(code) ? 'cut' : code, detail);
}

// The session ended or has just moved: no fault of the request, another handshake helps.
const sessionGone = /^(not_found|conflict)$/;

/** What CometD's long-polling transport hands to whoever sends its requests. */
interface Packet {
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  onSuccess(text: string): void;
  onError(reason: string, exception?: unknown): void;
}

/** Sends the requests of a client with `fetch`, to the address of the moment, and while its gate is open. */
class Requests {
  readonly gate = new Gate();
  readonly #closing = new AbortController();
  readonly #flying = new Set<AbortController>();
  #address: string;

  constructor(address: string) {
    this.#address = address;
  }

  carry(client: CometD): void {
    const transport = client.findTransport('long-polling') as unknown as { xhrSend(packet: Packet): object };
    transport.xhrSend = (packet) => {
      const leaving = new AbortController();
      void this.#send(packet, leaving);
      return { status: 0, readyState: 1, abort: () => leaving.abort() };
    };
  }

  async #send(packet: Packet, leaving: AbortController): Promise<void> {
    this.#flying.add(leaving);
    try {
      await this.gate.pass();
      const answer = await fetch(`http://${this.#address}/bayeux`, {
        method: 'POST',
        body: packet.body,
        headers: { ...packet.headers, 'Content-Type': 'application/json' },
        signal: AbortSignal.any([leaving.signal, this.#closing.signal]),
      });
      packet.onSuccess(await answer.text());
    } catch (error) {
      packet.onError(String(error), error);
    } finally {
      this.#flying.delete(leaving);
    }
  }

  /** What waits is cut off, as when a load balancer sends a client elsewhere. */
  move(address: string): void {
    this.#address = address;
    for (const leaving of this.#flying) leaving.abort();
  }

  close(): void {
    this.gate.open();
    this.#closing.abort();
  }
}
