import { type OwnLines, showCommands, usualLines } from './commands.ts';
import { element } from './dom.ts';

interface PageToken {
  readonly token: string;
  readonly commands: OwnLines;
}

/** Tokens of the local fleet's front, or the one that the reader of the page brings. */
export class Tokens {
  #asking: Promise<string> | undefined;
  #brought: string | undefined;

  /** Asked for by every client of the page; those that ask at once get the same. */
  readonly next = async (): Promise<string> => {
    if (this.#brought !== undefined) return this.#brought;
    this.#asking ??= this.#ask().finally(() => {
      this.#asking = undefined;
    });
    return this.#asking;
  };

  /** Asks the reader for one, and says why; resolves when there is one. */
  bring(reason: string): Promise<string> {
    const form = element<HTMLFormElement>('token-form');
    const input = element<HTMLInputElement>('token');
    element('token-reason').textContent = reason;
    element('token-command').textContent = `${usualLines.token} --presence 'playground/#'`;
    form.hidden = false;
    input.focus();
    return new Promise((resolve) => {
      form.addEventListener(
        'submit',
        (event) => {
          event.preventDefault();
          form.hidden = true;
          this.#brought = input.value.trim();
          input.value = '';
          resolve(this.#brought);
        },
        { once: true },
      );
    });
  }

  async #ask(): Promise<string> {
    const answer = await fetch('/page/token', { method: 'POST' });
    if (answer.ok) {
      const { token, commands } = (await answer.json()) as PageToken;
      showCommands(commands, location.origin);
      return token;
    }
    if (answer.status >= 500) throw new TypeError(`The front answers ${answer.status}.`);
    const { detail } = (await answer.json()) as { detail: string };
    return this.bring(detail);
  }
}
