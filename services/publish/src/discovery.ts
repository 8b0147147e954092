import type { Topic } from '@pushfleet/core';
import type { Route } from '@pushfleet/runtime';

export interface DiscoveryOptions {
  readonly routes: readonly Route[];
  /** The fleet's one public origin; without it, URLs are relative to the one asked. */
  readonly publicUrl?: string | undefined;
  /** Where publishers reach the gRPC API. */
  readonly grpcUrl?: string | undefined;
}

/** Tells clients what the fleet offers and where: nothing here depends on who asks. */
export class Discovery {
  readonly #options: DiscoveryOptions;

  constructor(options: DiscoveryOptions) {
    this.#options = options;
  }

  /** The body of `GET /.well-known/pushfleet`. */
  fleet(): object {
    const { grpcUrl } = this.#options;
    return {
      publish: {
        topic: `${this.#url('publish')}/{topic}`,
        batch: this.#url('publish-batch'),
        grpc: {
          service: 'pushfleet.publish.v1.PublishService',
          ...(grpcUrl === undefined ? {} : { url: grpcUrl }),
        },
      },
      history: `${this.historyUrl}{?topic*,after,since,limit}`,
      explain: `${this.#url('explain')}{?id,topic,since,cursor}`,
      tickets: this.#url('tickets'),
      channels: this.#channels('{?topic*}'),
    };
  }

  /** Where pages of history are. */
  get historyUrl(): string {
    return this.#url('history') ?? '';
  }

  /** The body and `Link` header (RFC 8288) of `GET /v1/topics/<topic>`. */
  topic(topic: Topic): { readonly link: string; readonly body: object } {
    const query = `?topic=${encodeURIComponent(topic)}`;
    const self = `${this.#url('publish')}${query}`;
    return { link: `<${self}>; rel="self"`, body: { topic, self, channels: this.#channels(query) } };
  }

  /** Where publications are received; `query` names filters to those protocols that take them so. */
  #channels(query: string): readonly { protocol: string; url: string }[] {
    return this.#options.routes.flatMap(({ name, channel, websocket }) => {
      if (channel === undefined) return [];
      const url = this.#url(name) ?? '';
      // http → ws, https → wss
      const reached = websocket === 'only' ? url.replace(/^http/, 'ws') : url;
      return [{ protocol: name, url: channel === 'query' ? `${reached}${query}` : reached }];
    });
  }

  #url(name: string): string | undefined {
    const { routes, publicUrl } = this.#options;
    const path = routes.find((route) => route.name === name)?.path;
    return path === undefined || publicUrl === undefined ? path : new URL(path, publicUrl).href;
  }
}
