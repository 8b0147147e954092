import { declareCertificateEnds } from './certificate-ends.ts';
import type { Source } from './field.ts';
import type { Log } from './log.ts';
import type { Metrics } from './metrics.ts';
import { type TlsPair, tlsPair } from './tls-pair.ts';
import { WatchedFile } from './watched-file.ts';

type Part = keyof TlsPair;

export interface WatchedTlsOptions {
  /** Of the variables: `PUSHFLEET_X_TLS`. */
  readonly prefix: string;
  readonly sources: Readonly<Record<Part, Source | undefined>>;
  readonly log: Pick<Log, 'info' | 'error'>;
  readonly metrics: Pick<Metrics, 'counter' | 'gauge'>;
}

const mostBytes = 1_048_576;
// A certificate and its key are two files that nobody changes in one moment; together they are looked at after this.
const settleMs = 2_000;
const parts: readonly Part[] = ['cert', 'key', 'clientCa', 'clientCrl'];
const suffixes: Readonly<Record<Part, string>> = {
  ...{ cert: 'CERT', key: 'KEY', clientCa: 'CLIENT_CA', clientCrl: 'CLIENT_CRL' },
};

/** What a listener shows, read again whenever one of its files has changed. */
export class WatchedTls {
  /** What is in force; undefined: there is no TLS. */
  pair: TlsPair | undefined;
  /** Called when it is another. */
  onChanged: (pair: TlsPair) => void = () => {};
  readonly #o: WatchedTlsOptions;
  readonly #texts: Record<Part, string | undefined>;
  readonly #files: readonly WatchedFile[];
  readonly #reloads: { add(count: number, attributes: { outcome: 'changed' | 'refused' }): void };
  #settling: NodeJS.Timeout | undefined;
  #started = false;

  /** @throws ConfigError where it is one half, or cannot be used */
  constructor(options: WatchedTlsOptions) {
    const { prefix, sources, metrics } = options;
    this.#o = options;
    const { cert, key, clientCa, clientCrl } = sources;
    this.#texts = {
      ...{ cert: cert?.text, key: key?.text, clientCa: clientCa?.text, clientCrl: clientCrl?.text },
    };
    this.#files = parts.flatMap((part) => this.#watch(part) ?? []);
    this.pair = tlsPair(prefix, this.#texts);
    this.#reloads = metrics.counter('pushfleet_tls_reloads', {
      description: 'Changed certificates and keys, by outcome.',
    });
    declareCertificateEnds(metrics, () => this.pair);
  }

  start(): void {
    this.#started = true;
    for (const file of this.#files) file.start();
  }

  close(): void {
    clearTimeout(this.#settling);
    for (const file of this.#files) file.close();
  }

  #watch(part: Part): WatchedFile | undefined {
    const { prefix, sources } = this.#o;
    const file = sources[part]?.file;
    if (file === undefined) return undefined;
    return new WatchedFile({
      ...{ file, env: `${prefix}_${suffixes[part]}_FILE`, bytes: mostBytes },
      use: (text) => {
        this.#texts[part] = text;
        if (this.#started) this.#settle();
      },
      onChanged: (outcome, problems) => {
        if (outcome === 'refused') this.#refused(problems);
      },
    });
  }

  #settle(): void {
    clearTimeout(this.#settling);
    this.#settling = setTimeout(() => this.#judge(), settleMs).unref();
  }

  #judge(): void {
    try {
      this.pair = tlsPair(this.#o.prefix, this.#texts);
    } catch (error) {
      this.#refused([(error as Error).message]);
      return;
    }
    if (this.pair !== undefined) this.onChanged(this.pair);
    this.#reloads.add(1, { outcome: 'changed' });
    this.#o.log.info('the certificate was read again');
  }

  #refused(problems: readonly string[]): void {
    this.#reloads.add(1, { outcome: 'refused' });
    this.#o.log.error({ problems }, 'the new certificate is wrong; the old one stays');
  }
}
