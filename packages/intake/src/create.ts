import type { LogTerms, Stores } from '@pushfleet/bus';
import type { Backbone } from '@pushfleet/core';
import { type Config, type Log, type Policies, type Quotas, RateLimit } from '@pushfleet/runtime';
import { Admission } from './admission.ts';
import type { intakeFields } from './fields.ts';
import { Intake } from './intake.ts';
import { Meters } from './meters.ts';

export interface CreateIntakeOptions {
  readonly config: Pick<
    Config<ReturnType<typeof intakeFields>>,
    'payloadBytes' | 'ratePerSecond' | 'rateBurst'
  >;
  readonly backbone: Backbone & Pick<Stores, 'ledger'>;
  /** How long the log keeps things; undefined before it was reached. */
  readonly terms: () => LogTerms | undefined;
  readonly policies: Pick<Policies, 'of' | 'quota' | 'limitsStorage'>;
  readonly quotas: Pick<Quotas, 'requireRate'>;
  /** The name of this instance in the fleet. */
  readonly instance: string;
  readonly log: Log;
}

/** An intake, and the meters beneath it, which are a part: they start before it is used and drain behind it. */
export function createIntake(o: CreateIntakeOptions): { readonly intake: Intake; readonly meters: Meters } {
  const { config, backbone, terms, policies, quotas, instance, log } = o;
  const rate = new RateLimit({ perSecond: config.ratePerSecond, burst: config.rateBurst });
  const meters = new Meters({ ledger: backbone.ledger('meters'), policies, terms, instance, log });
  const admission = new Admission({ rate, policies, quotas, meters, terms });
  return { intake: new Intake({ backbone, admission, payloadBytes: config.payloadBytes }), meters };
}
