import { randomBytes } from 'node:crypto';
import { Unwelcome } from './arrival.ts';
import { reasons } from './codec.ts';

export interface ClientIdRules {
  /** Longest, in bytes of UTF-8. */
  readonly clientIdBytes: number;
  /** It has to be one of these; `{sub}` is the client's subject, `*` any characters. Empty: whatever it is. */
  readonly clientIdPatterns: readonly string[];
  /** What it may have besides letters and digits of ASCII; undefined: everything that the codec lets pass. */
  readonly clientIdCharacters: string | undefined;
  /** Whether a client may have none, and is given one. */
  readonly clientIdAssigned: boolean;
}

/** Which client identifiers are taken (MQTT 5 section 3.1.3.1). */
export class ClientIds {
  readonly #rules: ClientIdRules;
  readonly #characters: ReadonlySet<string> | undefined;

  constructor(rules: ClientIdRules) {
    this.#rules = rules;
    this.#characters =
      rules.clientIdCharacters === undefined
        ? undefined
        : new Set([...alphanumeric, ...rules.clientIdCharacters]);
  }

  /** Whatever can be said before it is known whose it is. @throws Unwelcome */
  check(clientId: string): void {
    const { clientIdBytes, clientIdAssigned } = this.#rules;
    // [MQTT-3.1.3-6]: whether a client may leave it to the server is the server's to say.
    if (clientId === '' && !clientIdAssigned) throw invalid('A client brings an identifier of its own here.');
    if (Buffer.byteLength(clientId) > clientIdBytes) {
      throw invalid(`A client identifier has at most ${clientIdBytes} bytes here.`);
    }
    const characters = this.#characters;
    if (characters === undefined || [...clientId].every((one) => characters.has(one))) return;
    throw invalid(
      `A client identifier has letters, digits and ${JSON.stringify(this.#rules.clientIdCharacters)} here.`,
    );
  }

  /** The one that a client of this subject has. @throws Unwelcome */
  of(clientId: string, subject: string): string {
    if (clientId === '') return `auto-${randomBytes(12).toString('hex')}`;
    const { clientIdPatterns: patterns } = this.#rules;
    const fits = (pattern: string): boolean =>
      matches(
        pattern.split('*').map((part) => part.replaceAll('{sub}', () => subject)),
        clientId,
      );
    if (patterns.length === 0 || patterns.some(fits)) return clientId;
    throw invalid(`The client identifier is none that this token may have: ${patterns.join(', ')}.`);
  }
}

// [MQTT-3.1.3-5]: these are taken wherever.
const alphanumeric = '0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ';

const invalid = (message: string): Unwelcome => new Unwelcome(reasons.clientIdNotValid, message);

/** Whether the text has these parts in this order with anything between them: each at the first place where it can be. */
function matches(parts: readonly string[], text: string): boolean {
  const [first = '', ...others] = parts;
  const last = others.pop();
  if (last === undefined) return text === first;
  if (!text.startsWith(first)) return false;
  let at = first.length;
  for (const part of others) {
    const found = text.indexOf(part, at);
    if (found < 0) return false;
    at = found + part.length;
  }
  return text.length - last.length >= at && text.endsWith(last);
}
