import { connect, type Message } from '@pushfleet/client';
import { Board } from './board.ts';
import { showCommands, usualLines } from './commands.ts';
import { duration, element } from './dom.ts';
import { Lane, transports } from './lane.ts';
import { type Entry, Ledger } from './ledger.ts';
import { People } from './people.ts';
import { Tokens } from './token.ts';

const filter = 'playground/#';
/** How long a hidden page keeps its connections, in milliseconds. */
const hiddenMs = 5_000;

const tokens = new Tokens();
const ledger = new Ledger();
const board = new Board(ledger, transports);
const own = new Set<string>();

element('origin').textContent = location.origin;
showCommands(usualLines, location.origin);
const lanes = transports.map(
  (transport) =>
    new Lane({
      transport,
      filter,
      token: tokens.next,
      onMessage: (message) => arrived(transport.id, message),
      onAway: (away) => {
        if (away) ledger.left(transport.id, Date.now());
        else ledger.returned(transport.id, Date.now());
        board.changed();
      },
    }),
);
element('board').style.setProperty('--lanes', String(lanes.length));
element('lanes').append(...lanes.map(({ head }) => head));

const fleet = connect({ url: location.origin, token: tokens.next });
showConnection();
new People(fleet);

element('publish-form').addEventListener('submit', (event) => {
  event.preventDefault();
  void publish([messageText()]);
});
element('burst').addEventListener('click', () => {
  void publish(Array.from({ length: 10 }, (_, i) => `${messageText()} ${i + 1}`));
});
pauseWhileHidden();

const messageText = (): string => element<HTMLInputElement>('message').value;

async function publish(texts: readonly string[]): Promise<void> {
  const topic = element<HTMLInputElement>('topic').value;
  const began = now();
  const answers = await Promise.allSettled(texts.map((text) => publishOne(topic, text)));
  const refused = answers.find((answer) => answer.status === 'rejected');
  const took = duration(now() - began);
  element('receipt').textContent =
    refused === undefined
      ? `${texts.length === 1 ? 'Stored' : `${texts.length} stored`} after ${took}.`
      : `Not stored: ${(refused.reason as Error).message}`;
}

async function publishOne(topic: string, text: string): Promise<void> {
  const id = crypto.randomUUID();
  own.add(id);
  ledger.sent({ key: id, topic, text }, now());
  board.changed();
  try {
    await fleet.publish(topic, text, { id });
  } catch (error) {
    ledger.forget(id);
    board.changed();
    throw error;
  }
}

function arrived(lane: string, message: Message): void {
  const { id, source, topic, time } = message;
  const key = own.has(id) ? id : JSON.stringify([source, topic, id]);
  const entry = ledger.arrived(lane, { key, topic, text: message.text(), stored: time.getTime() }, now());
  board.changed();
  tellOnce(entry);
}

/** Says it once all transports that are there have brought a message, for those who cannot see the table. */
function tellOnce({ sent, text, arrivals }: Entry): void {
  const present = transports.filter(({ id }) => !ledger.isAway(id));
  if (sent === undefined || !present.every(({ id }) => arrivals.has(id))) return;
  element('told').textContent = `“${text}” came over ${present.map(({ name }) => name).join(', ')}.`;
}

/** Unix time in milliseconds, with the fractions that `Date.now` leaves out. */
function now(): number {
  return performance.timeOrigin + performance.now();
}

function showConnection(): void {
  const line = element('connection');
  const words: Partial<Record<string, string>> = {
    websocket: 'WebSocket',
    sse: 'server-sent events',
    poll: 'long polling',
  };
  let trouble = '';
  const show = (): void => {
    const { state, transport } = fleet;
    line.dataset.state = state === 'connected' ? 'open' : state === 'failed' ? 'closed' : 'waiting';
    if (state === 'connected') trouble = '';
    const over = words[transport ?? ''] ?? 'the network';
    line.textContent = state === 'connected' ? `Connected by ${over}` : trouble || 'Connecting';
  };
  fleet.on('state', show);
  fleet.on('transport', show);
  fleet.on('error', ({ message }) => {
    trouble = message;
    show();
  });
  show();
}

// Browsers grant an origin six connections over HTTP/1.1, for all its tabs together: those that nobody looks at give
// theirs back, and resume when they are looked at.
function pauseWhileHidden(): void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const scarce = lanes.filter(({ transport }) => transport.scarce);
  document.addEventListener('visibilitychange', () => {
    clearTimeout(timer);
    const hold = (on: boolean): void => {
      for (const lane of scarce) lane.hold('hidden', on);
    };
    if (document.hidden) timer = setTimeout(hold, hiddenMs, true);
    else hold(false);
  });
}
