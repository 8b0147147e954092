// What a page does, for this service's tests; nothing else imports it.

import { until } from '@pushfleet/contract';
import { token } from '@pushfleet/edge/testing';
import { EventSource } from 'eventsource';

export interface Received {
  readonly type: string;
  readonly data: string;
  readonly id: string;
}

/**
 * npm's EventSource. Since it shows neither headers nor cookies, its fetch is wrapped: the target can be changed
 * between two connects as a load balancer would, and a cookie that is set comes back.
 */
export class Page {
  readonly source: EventSource;
  readonly received: Received[] = [];
  readonly statuses: number[] = [];
  port: number;
  cookie: string | undefined;

  constructor(o: { url: string; headers?: Record<string, string>; types?: readonly string[] }) {
    this.port = Number(new URL(o.url).port);
    const headers = o.headers ?? { Authorization: `Bearer ${token()}` };
    this.source = new EventSource(o.url, {
      fetch: async (input, init) => {
        const url = new URL(input as string);
        url.port = String(this.port);
        const cookie = this.cookie === undefined ? {} : { cookie: this.cookie };
        const answer = await fetch(url, { ...init, headers: { ...init.headers, ...headers, ...cookie } });
        this.statuses.push(answer.status);
        this.cookie = answer.headers.getSetCookie()[0]?.split(';')[0] ?? this.cookie;
        return answer;
      },
    });
    for (const type of [
      'message',
      'pushfleet.open',
      'pushfleet.gap',
      'pushfleet.close',
      ...(o.types ?? []),
    ]) {
      this.source.addEventListener(type, ({ data, lastEventId }) =>
        this.received.push({ type, data, id: lastEventId }),
      );
    }
  }

  /** The data of one type of event, in order. */
  data(type = 'message'): readonly string[] {
    return this.received.filter((event) => event.type === type).map(({ data }) => data);
  }

  /** Resolves once the stream has been live `times` times. */
  live(times = 1): Promise<void> {
    return until(() => this.data('pushfleet.open').length >= times, `the stream is live (${times})`);
  }

  async has(count: number, type = 'message'): Promise<readonly string[]> {
    await until(
      () => this.data(type).length >= count,
      `${count} of ${type} in ${JSON.stringify(this.received)}`,
    );
    return this.data(type);
  }

  close(): void {
    this.source.close();
  }
}
