import { randomBytes } from 'node:crypto';
import type { Fleet } from './fleet.ts';

/** What a fleet with webhooks to this machine needs beside what every fleet needs. */
export const webhookEnv: Readonly<Record<string, string>> = {
  PUSHFLEET_SECRETS_KEYS: `test:${randomBytes(32).toString('base64')}`,
  PUSHFLEET_OUTBOUND_ALLOW: '127.0.0.0/8',
  PUSHFLEET_WEBHOOK_UNCONFIRMED: 'true',
  PUSHFLEET_WEBHOOK_TIMEOUT: '2',
};

/** A subscription as the HTTP API shows it, as far as the tests look. */
export interface Hook {
  readonly id: string;
  readonly state: 'pending' | 'active' | 'paused' | 'suspended';
  readonly stateReason?: string;
  /** In the answers that make one. */
  readonly secret: string;
  readonly backlog: { readonly queued: number; readonly retrying: number; readonly dead: number };
}

export interface Answer<T> {
  readonly status: number;
  readonly body: T;
}

/** A manager of webhooks, by HTTP. */
export class HookManager {
  readonly #fleet: Fleet;
  readonly #token: string;

  constructor(fleet: Fleet, token: string) {
    this.#fleet = fleet;
    this.#token = token;
  }

  /** @param path behind `/v1/subscriptions` */
  async call<T = Hook>(method: string, path: string, body?: object): Promise<Answer<T>> {
    const answer = await fetch(`http://${this.#fleet.registry.addresses.http}/v1/subscriptions${path}`, {
      method,
      headers: { authorization: `Bearer ${this.#token}`, 'content-type': 'application/json' },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    const text = await answer.text();
    return { status: answer.status, body: (text === '' ? undefined : JSON.parse(text)) as T };
  }

  /** @throws Error with the answer, where it is not the status that a success has */
  async done<T = Hook>(method: string, path: string, body?: object): Promise<T> {
    const answer = await this.call<T>(method, path, body);
    if (answer.status < 300) return answer.body;
    throw new Error(`${method} ${path} was answered ${answer.status}: ${JSON.stringify(answer.body)}`);
  }

  create(wish: object): Promise<Hook> {
    return this.done('POST', '', wish);
  }
}
