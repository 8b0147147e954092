// Bayeux clients that others wrote, behind one face.
import type { Extension, Message } from 'cometd';
import { adapt } from 'cometd-nodejs-client';
import fayeModule from 'faye';
import { allToken, type Received } from './testing.ts';

export interface OtherClient {
  /** Resolves once the server has said yes. */
  subscribe(channel: string, on: (message: Received) => void): Promise<void>;
  /** Resolves to whether the server has said yes. */
  publish(channel: string, data: unknown): Promise<boolean>;
  /** Every message of the protocol's own. */
  readonly meta: Received[];
  close(): Promise<void>;
}

export type MakeClient = (url: string, token?: string) => Promise<OtherClient>;

adapt();
const { CometD } = await import('cometd');
const { AckExtension } = (await import('cometd/AckExtension.js' as string)) as {
  readonly AckExtension: new () => Extension;
};

const received = (message: Message): Received => message as unknown as Received;

/** cometd's JavaScript client. */
export const cometd =
  (o: { websocket: boolean; ack: boolean }): MakeClient =>
  async (url, token = allToken()) => {
    const client = new CometD();
    client.unregisterTransport('callback-polling');
    client.unregisterTransport(o.websocket ? 'long-polling' : 'websocket');
    if (o.ack) client.registerExtension('ack', new AckExtension());
    client.configure({
      url,
      logLevel: 'warn',
      backoffIncrement: 50,
      maxBackoff: 200,
      maxNetworkDelay: 20_000,
    });
    const meta: Received[] = [];
    const subscriptions: { channel: string; on: (message: Received) => void }[] = [];
    client.addListener('/meta/*', (message) => {
      meta.push(received(message));
    });
    client.addListener('/meta/handshake', (message) => {
      if (!message.successful || !message.reestablish) return;
      for (const { channel, on } of subscriptions) client.subscribe(channel, (event) => on(received(event)));
    });
    const ext = { pushfleet: { token } };
    await new Promise<void>((resolve) => client.handshake({ ext }, () => resolve()));
    return {
      meta,
      subscribe: (channel, on) => {
        subscriptions.push({ channel, on });
        return new Promise((resolve, reject) => {
          client.subscribe(
            channel,
            (event) => on(received(event)),
            (reply) => (reply.successful ? resolve() : reject(new Error(reply.error))),
          );
        });
      },
      publish: (channel, data) =>
        new Promise((resolve) => {
          client.publish(channel, data, (reply) => resolve(reply.successful === true));
        }),
      close: () => new Promise((resolve) => client.disconnect(() => resolve())),
    };
  };

interface Faye {
  disable(feature: string): void;
  setHeader(name: string, value: string): void;
  addExtension(extension: object): void;
  subscribe(channel: string): FayeSubscription;
  publish(channel: string, data: unknown): PromiseLike<void>;
  disconnect(): PromiseLike<void> | undefined;
}

interface FayeSubscription extends PromiseLike<void> {
  withChannel(on: (channel: string, data: unknown) => void): FayeSubscription;
}

const faye = fayeModule as unknown as { Client: new (url: string, o: object) => Faye };

/** faye's client for Node. */
export const fayeClient =
  (o: { websocket: boolean }): MakeClient =>
  async (url, token = allToken()) => {
    const client = new faye.Client(url, { retry: 0.05, timeout: 20 });
    if (!o.websocket) client.disable('websocket');
    client.setHeader('Authorization', `Bearer ${token}`);
    const meta: Received[] = [];
    const listeners: ((message: Received) => void)[] = [];
    client.addExtension({
      incoming(message: Received, next: (message: Received) => void) {
        if (message.channel.startsWith('/meta/')) meta.push(message);
        else for (const on of listeners) on(message);
        next(message);
      },
    });
    return {
      meta,
      async subscribe(channel, on) {
        listeners.push((message) => {
          if (message.data !== undefined) on(message);
        });
        await client.subscribe(channel);
      },
      publish: async (channel, data) =>
        client.publish(channel, data).then(
          () => true,
          () => false,
        ),
      async close() {
        await client.disconnect();
      },
    };
  };
