/** What an event stream says (WHATWG HTML, section 9.2.6). */
export interface StreamHandler {
  /** An event; `id` is the last one the stream has named, or empty. */
  event(type: string, data: string, id: string): void;
  /** A block without data that named an id: the place moves on, and nothing else happens. */
  id(id: string): void;
  retry(ms: number): void;
}

/** Reads an event stream from pieces of text, however they are cut. */
export class EventStreamParser {
  readonly #handler: StreamHandler;
  readonly #mostChars: number;
  #rest = '';
  #began = false;
  /** The last piece ended with a CR: an LF that follows belongs to it. */
  #returned = false;
  #type = '';
  #data: string[] = [];
  #chars = 0;
  #id = '';
  #named = false;

  /** @param mostChars of one event */
  constructor(handler: StreamHandler, mostChars = 16 * 1_048_576) {
    this.#handler = handler;
    this.#mostChars = mostChars;
  }

  /** @throws RangeError where an event is longer than it may be */
  push(piece: string): void {
    let text = piece;
    if (text === '') return;
    if (!this.#began) {
      this.#began = true;
      if (text.startsWith('\uFEFF')) text = text.slice(1);
    }
    if (this.#returned && text.startsWith('\n')) text = text.slice(1);
    this.#returned = text.endsWith('\r');
    const lines = text.split(/\r\n|\r|\n/);
    lines[0] = this.#rest + lines[0];
    this.#rest = lines.pop() as string;
    for (const line of lines) this.#line(line);
    this.#bound(this.#rest.length);
  }

  #line(line: string): void {
    if (line === '') {
      this.#dispatch();
      return;
    }
    const [, name, value] = /^([^:]*):? ?(.*)/s.exec(line) as unknown as [string, string, string];
    if (name === 'data') {
      this.#data.push(value);
      this.#chars += value.length + 1;
      this.#bound(0);
    } else if (name === 'event') this.#type = value;
    else if (name === 'id' && !value.includes('\0')) {
      this.#id = value;
      this.#named = true;
    } else if (name === 'retry' && /^\d+$/.test(value)) this.#handler.retry(Number(value));
  }

  #bound(more: number): void {
    if (this.#chars + more > this.#mostChars) throw new RangeError('An event is too long.');
  }

  #dispatch(): void {
    const [type, data, named] = [this.#type, this.#data, this.#named];
    this.#type = '';
    this.#data = [];
    this.#chars = 0;
    this.#named = false;
    if (data.length > 0) this.#handler.event(type === '' ? 'message' : type, data.join('\n'), this.#id);
    else if (named) this.#handler.id(this.#id);
  }
}
