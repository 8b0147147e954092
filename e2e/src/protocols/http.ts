import { type Ask, Refused } from '@pushfleet/contract/edge-suite';

/** The target of a subscription over HTTP, with the parameters that all paths share. */
export function targetOf(address: string, path: string, { filters, after, retained }: Ask): URL {
  const url = new URL(`http://${address}${path}`);
  for (const filter of filters) url.searchParams.append('topic', filter);
  if (after !== undefined) url.searchParams.set('after', after);
  if (retained === true) url.searchParams.set('retained', '1');
  return url;
}

export const authorized = (token: string): Record<string, string> => ({ Authorization: `Bearer ${token}` });

/** What a refused request says. */
export async function refusalOf(answer: Response): Promise<Refused> {
  const text = await answer.text();
  if (answer.headers.get('content-type') !== 'application/problem+json') {
    return new Refused(`http_${answer.status}`, text);
  }
  const { code, detail } = JSON.parse(text) as { code: string; detail: string };
  return new Refused(code, detail);
}

/** A body that can be held up: while it is shut nothing more is read from the connection. */
export class Gate {
  #shut: PromiseWithResolvers<void> | undefined;

  shut(): void {
    this.#shut ??= Promise.withResolvers();
  }

  open(): void {
    this.#shut?.resolve();
    this.#shut = undefined;
  }

  /** Resolves at once while it is open. */
  async pass(): Promise<void> {
    await this.#shut?.promise;
  }

  through(body: ReadableStream<Uint8Array>): ReadableStream<Uint8Array> {
    const transform = async (
      chunk: Uint8Array,
      controller: TransformStreamDefaultController<Uint8Array>,
    ): Promise<void> => {
      await this.pass();
      controller.enqueue(chunk);
    };
    return body.pipeThrough(new TransformStream({ transform }));
  }
}
