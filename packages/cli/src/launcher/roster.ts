import type { Child } from '../local/child.ts';
import { lastLines } from '../local/poll.ts';
import { identify } from '../local/process-identity.ts';
import { type FleetProcess, type FleetRecord, removeRecord, writeRecord } from '../local/state.ts';

interface Member {
  readonly name: string;
  readonly child: Child;
  readonly identity: { readonly pid: number; readonly startedAt: string };
  addresses: Readonly<Record<string, string>>;
}

/**
 * The processes of this fleet. Each is on record from the moment it runs until it is gone, so that the next
 * start finds what this one leaves behind, whatever ends it.
 */
export class Roster {
  readonly #state: string;
  readonly #launcher = identify(process.pid) as FleetRecord['launcher'];
  readonly #members: Member[] = [];
  readonly #died = Promise.withResolvers<string>();
  #url: string | undefined;
  #stopping = false;

  constructor(state: string) {
    this.#state = state;
    this.#write();
  }

  /** Resolves with its name and last words when a process ends that nobody told to. */
  get died(): Promise<string> {
    return this.#died.promise;
  }

  /** To be given as `onStart` when a child is started. */
  add(name: string): (child: Child) => void {
    return (child) => {
      const identity = identify(child.pid);
      if (identity === undefined) return;
      // It was on its way when the order to stop came.
      if (this.#stopping) child.signal('SIGKILL');
      const member = { name, child, identity, addresses: {} };
      this.#members.push(member);
      this.#write();
      void child.exited.then(({ code, signal }) => this.#gone(member, signal ?? `exit code ${code}`));
    };
  }

  /** Puts on record where a process is reached. */
  found(name: string, addresses: Member['addresses']): void {
    const member = this.#members.find((candidate) => candidate.name === name);
    if (member !== undefined) member.addresses = addresses;
    this.#write();
  }

  addressOf(name: string, listener: string): string | undefined {
    return this.#members.find((member) => member.name === name)?.addresses[listener];
  }

  /** The fleet is ready behind this URL. */
  ready(url: string): void {
    this.#url = url;
    this.#write();
  }

  /** Stops services at once, then servers; whatever takes longer than `patienceMs` is killed. */
  async stop(patienceMs: number): Promise<void> {
    this.#stopping = true;
    const isServer = ({ name }: Member): boolean => name === 'nats' || name === 'redis';
    const stop = ({ child }: Member): Promise<unknown> => child.stop('SIGTERM', patienceMs);
    const members = [...this.#members];
    await Promise.all(members.filter((member) => !isServer(member)).map(stop));
    await Promise.all(members.filter(isServer).map(stop));
    removeRecord(this.#state);
  }

  /** For whoever does not want to wait. */
  kill(): void {
    for (const { child } of this.#members) child.signal('SIGKILL');
  }

  #gone(member: Member, how: string): void {
    this.#members.splice(this.#members.indexOf(member), 1);
    if (this.#stopping) return;
    this.#write();
    // Before it was found to listen, whoever starts it learns of its end and may try again.
    if (Object.keys(member.addresses).length === 0) return;
    this.#died.resolve(
      `${member.name} ended by itself (${how}). Its last words:\n${lastLines(member.child.output())}`,
    );
  }

  #write(): void {
    const processes: FleetProcess[] = this.#members.map(({ name, identity, addresses }) => ({
      name,
      ...identity,
      addresses,
    }));
    const url = this.#url === undefined ? {} : { url: this.#url };
    writeRecord(this.#state, { launcher: this.#launcher, ...url, processes });
  }
}
