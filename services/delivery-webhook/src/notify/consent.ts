import { randomBytes, randomUUID } from 'node:crypto';
import { type Judgement, judge, judgeFailure } from '@pushfleet/delivery';
import { CallError, type OutboundAnswer, type OutboundRequest } from '@pushfleet/outbound';

/** One request to the call-back at hand. @throws CallError */
export type Ask = (request: Pick<OutboundRequest, 'method' | 'headers' | 'body'>) => Promise<OutboundAnswer>;

/** The first notification of a subscription by its id, as `headersOf` gives it. */
export type FirstNotice = (id: string) => Pick<OutboundRequest, 'headers' | 'body'>;

export interface Asking {
  /** Of the subscription. */
  readonly id: string;
  /** 1 at the first. */
  readonly attempt: number;
  readonly first: FirstNotice;
}

/**
 * Whether a call-back wants to be notified: `delivered` is a yes, `gone` a no that will not change.
 *
 * It says so by sending X-Hook-Secret back, or, as receivers do that know nothing of that, by knowing its subscription:
 * it takes the first notification, and refuses the same under an identifier that nobody was given, with 412 (UPnP
 * Device Architecture 1.1, section 4.3.2). Only who was answered SUBSCRIBE knows the identifier, so whoever tells the two
 * apart asked for it.
 */
export async function askForConsent(ask: Ask, { id, attempt, first }: Asking): Promise<Judgement> {
  const secret = randomBytes(24).toString('base64url');
  try {
    const { headers, body } = first(id);
    const answer = await ask({
      method: 'NOTIFY',
      headers: { ...headers, 'x-hook-secret': secret },
      ...(body && { body }),
    });
    const judgement = judge(answer, Date.now());
    if (judgement.verdict !== 'delivered') return refused(judgement, attempt);
    if (answer.headers['x-hook-secret'] === secret) return judgement;
    const stranger = await ask({ method: 'NOTIFY', ...first(randomUUID()) });
    return compared(judgement, judge(stranger, Date.now()));
  } catch (error) {
    // What the fleet's own rules forbid now, they will forbid at the next attempt.
    if (error instanceof CallError && error.failure === 'refused')
      return { verdict: 'gone', error: error.message };
    if (!(error instanceof CallError)) throw error;
    return judgeFailure(error);
  }
}

/** What the answers to the subscription's own identifier and to a stranger's say together. */
function compared(own: Judgement, stranger: Judgement): Judgement {
  if (stranger.status === 412) return own;
  if (mayChange(stranger)) return stranger;
  return {
    ...own,
    verdict: 'gone',
    error: `The receiver answered ${own.status} without its X-Hook-Secret, and ${stranger.status} to a subscription that it cannot know. To confirm, it sends X-Hook-Secret back, or answers 412 where it does not know the subscription.`,
  };
}

function refused(judgement: Judgement, attempt: number): Judgement {
  // The notification may have overtaken the answer to SUBSCRIBE, which tells the receiver its identifier.
  if (judgement.status === 412 && attempt === 1) return { ...judgement, verdict: 'failed' };
  return mayChange(judgement) ? judgement : { ...judgement, verdict: 'gone' };
}

/** An answer of who is overwhelmed or broken. 501 is that of a server which does not know NOTIFY. */
const mayChange = ({ status = 0 }: Judgement): boolean => status === 429 || (status >= 500 && status !== 501);
