import { element, make } from './dom.ts';

/** Lines that the launcher knows better than this page. */
export interface OwnLines {
  readonly token: string;
  readonly tail: string;
}

/** Where the launcher said nothing: to be run in the checkout. */
export const usualLines: OwnLines = {
  token: "npx pushfleet token --publish 'playground/#' --subscribe 'playground/#'",
  tail: "npx pushfleet tail 'playground/#'",
};

/** Shows how to do from a terminal what the page does. */
export function showCommands(lines: OwnLines, front: string): void {
  const bearer = '-H "Authorization: Bearer $TOKEN"';
  const to = (path: string): string => `'${front}${path}'`;
  const commands: readonly (readonly [name: string, line: string])[] = [
    [
      'First, a token for an hour',
      `TOKEN=$(${lines.token.replaceAll(/ (?=--(publish|subscribe) )/g, ' \\\n')})`,
    ],
    ['Listen', `curl -N ${bearer} \\\n${to('/sse?topic=playground/%23')}`],
    [
      'Publish',
      `curl -d 'Hello from a terminal' \\\n-H 'Content-Type: text/plain' \\\n${bearer} \\\n${to('/v1/topics/playground/hello')}`,
    ],
    ['Poll, then add &after= and the cursor', `curl ${bearer} \\\n${to('/poll?topic=playground/%23')}`],
    ['Listen, coming back after a cut', lines.tail],
  ];
  element('code').textContent = code(front);
  element('commands').replaceChildren(...commands.map(([name, line]) => command(name, line)));
}

function command(name: string, line: string): HTMLElement {
  const copy = make('button', { type: 'button', 'aria-label': `Copy: ${name}` }, 'Copy');
  copy.addEventListener('click', () => {
    void navigator.clipboard.writeText(line).then(
      () => tell(copy, 'Copied', name),
      () => tell(copy, 'Not allowed', name),
    );
  });
  return make(
    'div',
    { class: 'command' },
    make('h3', {}, name),
    copy,
    make('pre', {}, make('code', {}, line)),
  );
}

function tell(button: HTMLButtonElement, word: string, name: string): void {
  button.textContent = word;
  element('copied').textContent = `${word}: ${name}`;
  setTimeout(() => {
    button.textContent = 'Copy';
  }, 2_000);
}

const code = (front: string): string => `import { connect } from '@pushfleet/client';

const fleet = connect({
  url: '${front}',
  token,
});
await fleet.publish('playground/hello', 'Hello');
const messages = fleet.subscribe('playground/#');
for await (const message of messages) {
  console.log(message.topic, message.text());
}`;
