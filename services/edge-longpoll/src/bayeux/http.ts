import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { PushfleetError, quote } from '@pushfleet/core';
import { firstOf, type Parameters, parseForm, readBody, splitTarget, valuesOf } from '@pushfleet/edge';
import { sendProblem, type TraceHeaders } from '@pushfleet/runtime';
import type { Ground } from '../handler.ts';
import { type Caller, identify } from './caller.ts';
import type { Exchange } from './exchange.ts';
import { type Message, parseMessages } from './message.ts';
import type { Receipt, Way } from './poll.ts';
import { errorChannel, no, statusOf } from './reply.ts';
import type { Session } from './session.ts';

export interface HttpOptions {
  readonly ground: Pick<Ground, 'config' | 'credentials' | 'cors' | 'refused' | 'isDraining'>;
  readonly exchange: Pick<Exchange, 'answer'>;
  /** Most messages of one request. */
  readonly messages: number;
}

const methods = 'GET, POST, OPTIONS';

/** The transports long-polling and callback-polling (Bayeux 1.0, "Transports"): one answer to each request. */
export class Http {
  readonly #o: HttpOptions;
  /** The last receipt of each connection: a reset says that what went out last may not have arrived. */
  readonly #receipts = new WeakMap<Socket, { last: Receipt }>();

  constructor(options: HttpOptions) {
    this.#o = options;
  }

  onRequest(request: IncomingMessage, response: ServerResponse): void {
    const { method } = request;
    if (method === 'OPTIONS') {
      const { cors } = this.#o.ground;
      response.writeHead(204, { allow: methods, ...cors.preflight(request.headers) }).end();
    } else if (method === 'POST' || method === 'GET') {
      void this.#serve(request, response);
    } else {
      const error = new PushfleetError('method_not_allowed', `The methods of /bayeux are ${methods}.`);
      response.setHeader('allow', methods);
      this.#o.ground.refused(error);
      sendProblem(response, error);
    }
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let wrap = plain;
    try {
      const query = parseForm(splitTarget(request.url as string).query);
      if (request.method === 'GET') wrap = wrapIn(firstOf([query], 'jsonp') ?? 'jsonpcallback');
      const messages = parseMessages(await this.#texts(request, query), this.#o.messages);
      const texts = await this.#answers(request, response, messages, firstOf([query], 'ticket'));
      this.#send(response, 200, texts, wrap);
    } catch (thrown) {
      this.#o.ground.refused(thrown);
      const error = PushfleetError.from(thrown);
      // What cannot be read has no messages to answer.
      const texts = [JSON.stringify(no({ channel: errorChannel }, error))];
      this.#send(response, statusOf(error), texts, wrap);
    }
  }

  /**
   * "Messages SHOULD be sent to the server as the body of an application/json HTTP POST request. Alternatively, [...]
   * as the message parameter of a application/x-www-form-urlencoded encoded POST request"; callback-polling, as the
   * `message` parameter of a GET.
   */
  async #texts(request: IncomingMessage, query: Parameters): Promise<readonly string[]> {
    if (request.method === 'GET') return messagesOf(query);
    const type = request.headers['content-type']?.split(';')[0]?.trim().toLowerCase() ?? 'application/json';
    const body = (await readBody(request, this.#o.ground.config.bodyBytes)).toString('utf8');
    if (type === 'application/json') return [body];
    if (type === 'application/x-www-form-urlencoded') return messagesOf(parseForm(body));
    throw new PushfleetError(
      'unsupported_media_type',
      `The body is ${quote(type)}; send application/json or application/x-www-form-urlencoded.`,
    );
  }

  async #answers(
    request: IncomingMessage,
    response: ServerResponse,
    messages: readonly Message[],
    ticket: string | undefined,
  ): Promise<readonly string[]> {
    const { exchange, ground } = this.#o;
    const shakes = messages.some(({ channel }) => channel === '/meta/handshake');
    const { setCookie, ...who } = await identify(
      ground.credentials,
      request.headers,
      shakes ? ticket : undefined,
    );
    if (setCookie !== undefined) response.setHeader('set-cookie', setCookie);
    const way: Way = {};
    const receipt = this.#receipt(request.socket);
    let session: Session | undefined;
    response.once('close', () => {
      if (!response.writableFinished) receipt.broken = true;
      session?.gone(way);
    });
    const caller: Caller = {
      ...{ ...who, way, receipt, separate: false, trace: request.headers as TraceHeaders },
      get gone() {
        return response.destroyed;
      },
      onSession: (one) => {
        session = one;
      },
    };
    const { now, later } = await exchange.answer(messages, caller);
    return later === undefined ? now : [...now, ...(await later)];
  }

  #receipt(socket: Socket): Receipt {
    const receipt: Receipt = { broken: false };
    const known = this.#receipts.get(socket);
    if (known !== undefined) {
      known.last = receipt;
      return receipt;
    }
    const holder = { last: receipt };
    this.#receipts.set(socket, holder);
    socket.once('close', (hadError: boolean) => {
      if (hadError) holder.last.broken = true;
    });
    return receipt;
  }

  #send(response: ServerResponse, status: number, texts: readonly string[], { type, text }: Wrap): void {
    if (response.destroyed) return;
    const body = Buffer.from(text(`[${texts.join(',')}]`));
    response.writeHead(status, {
      'content-type': type,
      'content-length': body.length,
      'cache-control': 'no-store',
      'x-content-type-options': 'nosniff',
      // The next request goes to another instance.
      ...(this.#o.ground.isDraining() && { connection: 'close' }),
    });
    response.end(body);
  }
}

interface Wrap {
  readonly type: string;
  text(json: string): string;
}

const plain: Wrap = { type: 'application/json; charset=utf-8', text: (json) => json };

/** The comment keeps the answer from being anything but a script, whatever the callback's name begins with. */
function wrapIn(callback: string): Wrap {
  if (!/^[A-Za-z_$][\w$.]{0,99}$/.test(callback)) {
    throw new PushfleetError('request_invalid', `${quote(callback)} is no name of a callback.`);
  }
  return {
    type: 'text/javascript; charset=utf-8',
    text: (json) =>
      `/**/${callback}(${json.replaceAll('\u2028', '\\u2028').replaceAll('\u2029', '\\u2029')});`,
  };
}

function messagesOf(parameters: Parameters): readonly string[] {
  const texts = valuesOf([parameters], 'message');
  if (texts.length > 0) return texts;
  throw new PushfleetError('request_invalid', 'The parameter "message" holds the messages; there is none.');
}
