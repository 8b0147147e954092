import type { Fleet, Member, PresenceChange, PresenceStatus } from '@pushfleet/client';
import { element, make } from './dom.ts';

const topic = 'playground/page';

interface State {
  readonly name?: unknown;
  readonly page?: unknown;
}

/** Who has this page open. */
export class People {
  readonly #fleet: Fleet;
  readonly #page = crypto.randomUUID();
  readonly #members = new Map<string, Member>();
  #name = `Guest ${Math.floor(Math.random() * 9_000 + 1_000)}`;
  #entered = false;

  constructor(fleet: Fleet) {
    this.#fleet = fleet;
    const input = element<HTMLInputElement>('name');
    input.value = this.#name;
    element('name-form').addEventListener('submit', (event) => {
      event.preventDefault();
      this.#name = input.value.trim() || this.#name;
      void this.#enter();
    });
    document.addEventListener('visibilitychange', () => void this.#enter());
    fleet.presence(topic).watch((change) => this.#changed(change));
    fleet.on('state', (state) => {
      if (state === 'connected') void this.#refresh();
    });
    fleet.on('transport', (transport) => {
      if (transport === 'websocket' && !this.#entered) void this.#enter();
    });
    // The others need not wait until the fleet misses this page.
    addEventListener('pagehide', () => {
      fleet
        .presence(topic)
        .leave()
        .catch(() => {});
    });
    addEventListener('pageshow', ({ persisted }) => {
      if (persisted) void this.#enter();
    });
    void this.#enter();
  }

  async #enter(): Promise<void> {
    const status: PresenceStatus = document.hidden ? 'away' : 'online';
    try {
      await this.#fleet.presence(topic).enter({ status, state: { name: this.#name, page: this.#page } });
      this.#entered = true;
      await this.#refresh();
    } catch (error) {
      this.#say(`Nobody can be seen: ${error instanceof Error ? error.message : String(error)}`);
    }
  }

  /** What was true while nobody watched. */
  async #refresh(): Promise<void> {
    if (!this.#entered) return;
    const members = await this.#fleet
      .presence(topic)
      .list()
      .catch(() => undefined);
    if (members === undefined) return;
    this.#members.clear();
    for (const member of members) this.#members.set(keyOf(member), member);
    this.#draw();
  }

  #changed(change: PresenceChange): void {
    if (change.status === 'offline') this.#members.delete(keyOf(change));
    else this.#members.set(keyOf(change), change);
    this.#draw();
  }

  #draw(): void {
    const members = [...this.#members.values()].sort((a, b) => a.since.getTime() - b.since.getTime());
    const lines = members.map(({ state, status }) => {
      const { name, page } = (state ?? {}) as State;
      const you = page === this.#page ? ' (you)' : '';
      const kind = status === 'online' ? 'open' : 'waiting';
      const words = status === 'online' ? 'Here' : status === 'away' ? 'Away' : status;
      return make(
        'li',
        {},
        make('span', {}, `${typeof name === 'string' ? name : 'Somebody'}${you}`),
        make('span', { class: 'state', 'data-state': kind }, words),
      );
    });
    element('people').replaceChildren(...lines);
    this.#say(members.length === 1 ? 'Nobody else.' : `${members.length} are here.`);
  }

  #say(words: string): void {
    const line = element('alone');
    if (line.textContent !== words) line.textContent = words;
  }
}

const keyOf = ({ subject, client }: Pick<Member, 'subject' | 'client'>): string => `${subject} ${client}`;
