import type { Namespace, Topic } from '@pushfleet/core';
import type { Grant, Route } from '@pushfleet/runtime';

export interface DiscoveryOptions {
  readonly routes: readonly Route[];
  /** The fleet's one public origin; without it, URLs are relative to the one asked. */
  readonly publicUrl?: string | undefined;
  /** In which namespace strangers find a topic; undefined where it is not public. */
  readonly publicIn: (topic: Topic) => Namespace | undefined;
  /** Where publishers reach the gRPC API. */
  readonly grpcUrl?: string | undefined;
}

/** Tells clients what the fleet offers and where: only whether there is a hub depends on who asks. */
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

  /**
   * The body and `Link` header (RFC 8288) of `GET /v1/topics/<topic>`.
   *
   * @param grant of who asks, if a token came: another namespace than the public topic's has no hub (WebSub, section 4)
   */
  topic(topic: Topic, grant?: Pick<Grant, 'namespace'>): { readonly link: string; readonly body: object } {
    const query = `?topic=${encodeURIComponent(topic)}`;
    const self = `${this.#url('publish')}${query}`;
    const namespace = this.#options.publicIn(topic);
    const open = namespace !== undefined && (grant === undefined || grant.namespace === namespace);
    const hub = open ? this.#url('websub') : undefined;
    const links = [...(hub === undefined ? [] : [`<${hub}>; rel="hub"`]), `<${self}>; rel="self"`];
    const body = { topic, self, ...(hub !== undefined && { hub }), channels: this.#channels(query) };
    return { link: links.join(', '), body };
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
