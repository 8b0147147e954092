import { randomUUID } from 'node:crypto';
import type { Load } from '../load.ts';
import type { Client } from '../trial.ts';
import { behaviours, type Received, type Receivers } from '../webhook-receivers.ts';
import type { HookManager } from '../webhooks.ts';

/** Where the fleet's workers deliver to. */
export interface HookSite {
  readonly receivers: Receivers;
  readonly manager: HookManager;
  /** host:port by which workers reach the receivers. */
  readonly address: string;
}

/** A webhook as a client of a trial. */
export class HookClient implements Client {
  readonly name: string;
  readonly filters: readonly string[];
  readonly unordered: boolean;
  readonly open = true;
  readonly cuts = 0;
  readonly failures = 0;
  readonly endpoint = randomUUID();
  readonly received: Load[] = [];
  readonly receipts: Received[] = [];
  readonly #site: HookSite;
  #subscription = '';
  #heard: number;
  #closed = false;

  private constructor(site: HookSite, filter: string, ordered: boolean) {
    this.#site = site;
    this.name = ordered ? 'webhook in order' : 'webhook';
    this.filters = [filter];
    this.unordered = !ordered;
    this.#heard = site.receivers.received.length;
  }

  static async open(site: HookSite, filter: string, ordered: boolean): Promise<HookClient> {
    const client = new HookClient(site, filter, ordered);
    const { receivers, manager, address } = site;
    const url = new URL(receivers.add(client.endpoint, behaviours.well));
    url.host = address;
    const hook = await manager.create({ filter, url, ordered, handshake: 'none' });
    receivers.trust(client.endpoint, hook.secret);
    client.#subscription = hook.id;
    return client.#listening();
  }

  #listening(): HookClient {
    const hear = (): void => {
      const { received } = this.#site.receivers;
      for (; this.#heard < received.length; this.#heard++) {
        const receipt = received[this.#heard] as Received;
        if (receipt.endpoint !== this.endpoint) continue;
        this.receipts.push(receipt);
        this.received.push(JSON.parse(receipt.body) as Load);
      }
      if (!this.#closed) setTimeout(hear, 5);
    };
    hear();
    return this;
  }

  /** What should never happen is looked for by webhook-check.ts. */
  get troubles(): readonly string[] {
    return [];
  }

  /** Ends the subscription; what still comes is not heard. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#site.manager.done('DELETE', `/${this.#subscription}`);
  }
}
