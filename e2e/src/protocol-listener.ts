import { type EdgeProtocol, Receiver } from '@pushfleet/contract/edge-suite';
import type { Load } from './load.ts';

/** A client of a protocol that comes back from its cursor whenever its connection ends. */
export class ProtocolListener {
  readonly name: string;
  readonly filters: readonly string[];
  /** It resumes at each request, also where nothing has failed. */
  readonly pulls: boolean;
  readonly #receiver: Receiver;
  readonly #loads: Load[] = [];
  readonly #refusals: string[] = [];

  constructor(protocol: EdgeProtocol, address: string, token: string, filters: readonly string[]) {
    this.name = protocol.name;
    this.filters = filters;
    this.pulls = protocol.pulls;
    this.#receiver = new Receiver(protocol, { token, filters });
    const refused = (error: unknown) => this.#refusals.push(`${protocol.name} was refused: ${error}`);
    void this.#receiver.stay(() => address).catch(refused);
  }

  get open(): boolean {
    return this.#receiver.connected;
  }

  get cuts(): number {
    return this.#receiver.cuts;
  }

  get failures(): number {
    return this.#receiver.failures;
  }

  get received(): readonly Load[] {
    const { received } = this.#receiver;
    for (const { text } of received.slice(this.#loads.length)) this.#loads.push(JSON.parse(text) as Load);
    return this.#loads;
  }

  get troubles(): readonly string[] {
    return [...this.#receiver.gaps.map((gap) => `gap ${JSON.stringify(gap)}`), ...this.#refusals];
  }

  close(): void {
    this.#receiver.close();
  }
}
