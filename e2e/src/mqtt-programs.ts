import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import type { MosquittoClients } from '@pushfleet/contract';
import type { Wanted } from './mqtt-sessions-check.ts';

/** An MQTT client of another language, and the lines that it prints. */
export class MqttProgram {
  readonly #child: ChildProcessWithoutNullStreams;
  /** Resolves with the exit code. */
  readonly ended: Promise<number>;
  /** What it printed, and where something went wrong what it said of it. */
  text = '';
  #untaken = '';

  constructor(command: string, args: readonly string[]) {
    this.#child = spawn(command, args);
    this.ended = once(this.#child, 'close').then(([code]) => code as number);
    this.#child.stdin.on('error', () => {});
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        this.text += text;
        this.#untaken += text;
      });
    }
  }

  /** Whole lines. */
  get lines(): readonly string[] {
    return this.text.split('\n').slice(0, -1);
  }

  /** The whole lines that came since this was last called. */
  take(): readonly string[] {
    const lines = this.#untaken.split('\n');
    this.#untaken = lines.pop() ?? '';
    return lines;
  }

  say(line: string): void {
    this.#child.stdin.write(`${line}\n`);
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode === null) this.#child.kill('SIGKILL');
    await this.ended;
  }
}

/** The programs that speak to one address with one token. */
export class MqttPrograms {
  readonly #mosquitto: MosquittoClients;
  readonly #python: string;
  readonly #address: string;
  readonly #running: MqttProgram[] = [];

  constructor(mosquitto: MosquittoClients, python: string, address: string) {
    this.#mosquitto = mosquitto;
    this.#python = python;
    this.#address = address;
  }

  /** Mosquitto's subscriber, CloudEvents in binary mode; its lines are `topic|user properties|payload`. */
  mosquittoSub(token: string, ...filters: readonly string[]): MqttProgram {
    const asking = ['-D', 'connect', 'user-property', 'cloudevents', 'binary'];
    const topics = filters.flatMap((filter) => ['-t', filter]);
    return this.#mosquittoProgram('sub', token, [...asking, ...topics, '-q', '2', '-F', '%t|%P|%p']);
  }

  /** One publication of Mosquitto's; resolves when it was acknowledged. @throws Error with what it said */
  async mosquittoPub(token: string, topic: string, data: string, event: Readonly<Record<string, string>>) {
    const pairs = Object.entries(event).flatMap((pair) => ['-D', 'publish', 'user-property', ...pair]);
    const typed = ['-D', 'publish', 'content-type', 'text/plain', ...pairs];
    const program = this.#mosquittoProgram('pub', token, [
      '-d',
      '-t',
      topic,
      '-m',
      data,
      '-q',
      '1',
      ...typed,
    ]);
    // A refused publication is no failure to it: the acknowledgement has a reason of 128 or more.
    if ((await program.ended) !== 0 || /RC:(1[2-9]|2)\d/.test(program.text)) throw new Error(program.text);
  }

  /** Paho for Python: see `paho_client.py`. */
  paho(token: string, filter: string): MqttProgram {
    const [host, port] = this.#address.split(':') as [string, string];
    return this.#run(this.#python, [join(import.meta.dirname, 'paho_client.py'), host, port, token, filter]);
  }

  /**
   * Mosquitto's subscriber with a session of an hour; its lines are `> topic|user properties|payload`. Of QoS 1 at most:
   * libmosquitto keeps a publication of QoS 2 that comes again with its packet id a second time (its `message__queue`
   * looks for none), so that the next publication with that id is given as the one before it. It can meet no server
   * that sends again what is in flight, as [MQTT-4.4.0-1] asks, and be exact.
   */
  mosquittoSession(token: string, name: string, filters: readonly string[]): MqttProgram {
    const asking = ['-D', 'connect', 'user-property', 'cloudevents', 'binary'];
    // By itself it takes 20 at once. What is sent is on record before it is, so that a busy machine, where that takes
    // 60 ms, gives it 20 publications in that time.
    const window = ['-D', 'connect', 'receive-maximum', '200'];
    const session = ['-c', '-x', '3600', '-i', name, ...window];
    const topics = filters.flatMap((filter) => ['-t', filter]);
    return this.#mosquittoProgram('sub', token, [
      ...[...session, ...asking, ...topics, '-q', '1'],
      ...['-F', '> %t|%P|%p'],
    ]);
  }

  /** Paho for Python with a session: see `paho_session.py`. */
  pahoSession(token: string, name: string, filters: readonly Wanted[] = []): MqttProgram {
    const [host, port] = this.#address.split(':') as [string, string];
    const topics = filters.flatMap(({ filter, qos }) => [filter, String(qos)]);
    const file = join(import.meta.dirname, 'paho_session.py');
    return this.#run(this.#python, [file, host, port, token, name, ...topics]);
  }

  async stop(): Promise<void> {
    await Promise.all(this.#running.map((program) => program.stop()));
  }

  #mosquittoProgram(which: 'pub' | 'sub', token: string, args: readonly string[]): MqttProgram {
    const [host, port] = this.#address.split(':') as [string, string];
    const common = ['-h', host, '-p', port, '-V', '5', '-u', 'token', '-P', token];
    return this.#run(this.#mosquitto[which], [...common, ...args]);
  }

  #run(command: string, args: readonly string[]): MqttProgram {
    const program = new MqttProgram(command, args);
    this.#running.push(program);
    return program;
  }
}
