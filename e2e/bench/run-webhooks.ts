// The scenarios of webhooks, repetitions interleaved as in run.ts.
import { Receivers } from './hooks/receivers.ts';
import type { RunningSender, Sender } from './hooks/sender.ts';
import { perFrontSecond, type Row, type Table } from './results.ts';
import { runAppointments } from './scenarios/appointments.ts';
import { type HangingResult, type HooksResult, runHanging, runHooks } from './scenarios/hooks.ts';
import { runMatching } from './scenarios/matching.ts';
import type { Appointments, Hanging, Hooks, Matching } from './webhook-plan.ts';

type Say = (line: string) => void;

export async function hooksTable(hooks: Hooks, senders: readonly Sender[], say: Say): Promise<Table> {
  const rows: Row<HooksResult>[] = senders.map(({ name }) => ({ target: name, results: [] }));
  for (let repetition = 1; repetition <= hooks.repetitions; repetition++) {
    for (const [index, sender] of senders.entries()) {
      const result = await posting(sender, (running, receivers) => runHooks(running, receivers, hooks));
      rows[index]?.results.push(result);
      const rates = [perFrontSecond(result), 2 * result.halfRate].map((rate) => (rate / 1000).toFixed(1));
      say(
        `posts ${repetition}/${hooks.repetitions} ${sender.name}: ${rates[0]}k deliveries a CPU-second, ` +
          `${rates[1]}k a second, p99 ${result.p99.toFixed(1)} ms at half of them`,
      );
    }
  }
  return { kind: 'hooks', scenario: hooks, rows };
}

/** Each measurement has servers of its own: what a receiver that hung is still owed would go on into the next. */
export async function hangingTable(hanging: Hanging, senders: readonly Sender[], say: Say): Promise<Table> {
  const [sender] = senders;
  if (sender === undefined) return { kind: 'hanging', scenario: hanging, rows: [] };
  const rows: Row<HangingResult>[] = ['answers', 'hangs'].map((target) => ({ target, results: [] }));
  for (let repetition = 1; repetition <= hanging.repetitions; repetition++) {
    for (const row of rows) {
      const result = await posting(sender, (running, receivers) =>
        runHanging(running, receivers, hanging, row.target === 'hangs'),
      );
      row.results.push(result);
      const p99 = result.p99.toFixed(1);
      say(`hanging ${repetition}/${hanging.repetitions} a fifth ${row.target}: p99 of the others ${p99} ms`);
    }
  }
  return { kind: 'hanging', scenario: hanging, rows };
}

/** A million takes so long that it is measured once. */
export async function appointmentsTable(appointments: Appointments): Promise<Table> {
  const rows = [{ target: 'nats-server', results: [await runAppointments(appointments)] }];
  return { kind: 'appointments', scenario: appointments, rows };
}

export async function matchingTable(matching: Matching): Promise<Table> {
  const rows = [{ target: 'registry', results: [await runMatching(matching)] }];
  return { kind: 'matching', scenario: matching, rows };
}

/** Starts a sender and receivers for as long as `use` takes. */
async function posting<T>(
  sender: Sender,
  use: (running: RunningSender, receivers: Receivers) => Promise<T>,
): Promise<T> {
  const receivers = await Receivers.open();
  try {
    const running = await sender.start();
    try {
      return await use(running, receivers);
    } finally {
      await running.stop();
    }
  } finally {
    receivers.close();
  }
}
