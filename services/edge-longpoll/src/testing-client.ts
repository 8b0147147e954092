// What polling clients do, for this service's tests; nothing else imports it.
import { token } from '@pushfleet/edge/testing';

export interface Batch {
  readonly cursor: string;
  readonly items: readonly {
    readonly event?: { readonly data: string; readonly subject: string; readonly pushfleetcursor: string };
    readonly retained?: true;
    readonly gap?: { readonly from: string; readonly to: string };
  }[];
}

export interface Polled {
  readonly status: number;
  readonly headers: Headers;
  readonly etag: string;
  readonly batch: Batch;
  /** The texts of the publications. */
  readonly texts: readonly (string | undefined)[];
  readonly problem: { readonly code: string; readonly limit?: number; readonly instance?: string };
}

export const authorization = { authorization: `Bearer ${token()}` };

export interface PollRequest extends RequestInit {
  readonly etag?: string;
  readonly wait?: number;
}

/** One poll by Node's fetch. `target` is what stands behind /poll. */
export async function poll(url: string, target: string, o: PollRequest = {}): Promise<Polled> {
  const { etag, wait, headers, ...init } = o;
  const response = await fetch(`${url}/poll${target}`, {
    ...init,
    headers: {
      ...authorization,
      ...(etag !== undefined && { 'if-none-match': etag }),
      ...(wait !== undefined && { prefer: `wait=${wait}` }),
      ...(headers as Record<string, string>),
    },
  });
  const text = await response.text();
  const body = text === '' ? undefined : JSON.parse(text);
  return {
    status: response.status,
    headers: response.headers,
    etag: response.headers.get('etag') ?? '',
    batch: body,
    texts: body?.items?.map((item: Batch['items'][number]) => item.event?.data) ?? [],
    problem: body,
  };
}

/** The cursor of a first poll. */
export async function begin(url: string, target: string): Promise<string> {
  return (await poll(url, target)).etag;
}
