import type { MqttFlowResult } from './mqtt/flow.ts';
import type { MqttRestResult } from './mqtt/rest.ts';
import type { MqttResumeResult } from './mqtt/resume.ts';
import type { Part } from './mqtt/session-fleet.ts';
import type { MqttConnectResult, MqttIdleResult } from './mqtt/visits.ts';
import type { MqttConnect, MqttFlow, MqttIdle } from './mqtt-plan.ts';
import type { MqttLasting, MqttRest, MqttResume } from './mqtt-sessions-plan.ts';
import type { Flow, Idle, Publish, Stalled, Storm } from './plan.ts';
import type { AppointmentsResult } from './scenarios/appointments.ts';
import type { FlowResult } from './scenarios/flow.ts';
import type { HangingResult, HooksResult } from './scenarios/hooks.ts';
import type { IdleResult } from './scenarios/idle.ts';
import type { MatchingResult } from './scenarios/matching.ts';
import type { PublishResult } from './scenarios/publish.ts';
import type { StalledResult } from './scenarios/stalled.ts';
import type { StormResult } from './scenarios/storm.ts';
import type { Appointments, Hanging, Hooks, Matching } from './webhook-plan.ts';

/** What one target gave in one scenario, repetition by repetition. */
export interface Row<R> {
  readonly target: string;
  readonly results: R[];
}

/** The same for one way to publish. */
export interface PublishRow extends Row<PublishResult> {
  readonly way: string;
  readonly publishers: number;
}

/** The same for all clients reading, and for a few that stop. */
export interface StalledRow extends Row<StalledResult> {
  readonly stalls: boolean;
}

export type Table =
  | { readonly kind: 'flow'; readonly scenario: Flow; readonly rows: readonly Row<FlowResult>[] }
  | { readonly kind: 'idle'; readonly scenario: Idle; readonly rows: readonly Row<IdleResult>[] }
  | { readonly kind: 'stalled'; readonly scenario: Stalled; readonly rows: readonly StalledRow[] }
  | { readonly kind: 'publish'; readonly scenario: Publish; readonly rows: readonly PublishRow[] }
  | { readonly kind: 'storm'; readonly scenario: Storm; readonly rows: readonly Row<StormResult>[] }
  | { readonly kind: 'hooks'; readonly scenario: Hooks; readonly rows: readonly Row<HooksResult>[] }
  | { readonly kind: 'hanging'; readonly scenario: Hanging; readonly rows: readonly Row<HangingResult>[] }
  | {
      readonly kind: 'appointments';
      readonly scenario: Appointments;
      readonly rows: readonly Row<AppointmentsResult>[];
    }
  | { readonly kind: 'matching'; readonly scenario: Matching; readonly rows: readonly Row<MatchingResult>[] }
  | { readonly kind: 'mqttFlow'; readonly scenario: MqttFlow; readonly rows: readonly Row<MqttFlowResult>[] }
  | {
      readonly kind: 'mqttConnect';
      readonly scenario: MqttConnect;
      readonly rows: readonly Row<MqttConnectResult>[];
    }
  | { readonly kind: 'mqttIdle'; readonly scenario: MqttIdle; readonly rows: readonly Row<MqttIdleResult>[] }
  | { readonly kind: 'mqttRest'; readonly scenario: MqttRest; readonly rows: readonly Row<MqttRestResult>[] }
  | {
      readonly kind: 'mqttResume';
      readonly scenario: MqttResume;
      readonly rows: readonly Row<MqttResumeResult>[];
    }
  | {
      readonly kind: 'mqttLasting';
      readonly scenario: MqttLasting;
      readonly rows: readonly Row<LastingResult>[];
    };

/** A table of webhooks. */
export type WebhookTable = Extract<
  Table,
  { readonly kind: 'hooks' | 'hanging' | 'appointments' | 'matching' }
>;

/** A table of MQTT. */
export type MqttTable = Extract<Table, { readonly kind: 'mqttFlow' | 'mqttConnect' | 'mqttIdle' }>;

/** A table of MQTT's sessions. */
export type MqttSessionsTable = Extract<Table, { readonly kind: 'mqttRest' | 'mqttResume' | 'mqttLasting' }>;

/** A flow to sessions, with the CPU time of each part of the fleet in seconds. */
export interface LastingResult extends Omit<MqttFlowResult, 'each'> {
  readonly cpu: Readonly<Record<Part, number>>;
}

export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

export function spread(values: readonly number[]): Spread {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (index: number) => sorted[index] ?? Number.NaN;
  const middle = (sorted.length - 1) / 2;
  return {
    median: (at(Math.floor(middle)) + at(Math.ceil(middle))) / 2,
    min: at(0),
    max: at(sorted.length - 1),
  };
}

/** The spread of one figure over the repetitions. */
export const over = <R>(row: Row<R>, of: (result: R) => number): Spread => spread(row.results.map(of));

export const perFrontSecond = (result: FlowResult | HooksResult) => result.deliveries / result.frontCpu;
export const perPathSecond = (result: FlowResult | HooksResult) => result.deliveries / result.pathCpu;
export const perSecond = (result: PublishResult) => result.acknowledged / result.seconds;
export const publishedPerPathSecond = (result: PublishResult) => result.acknowledged / result.pathCpu;

/** CPU time of the broker for one message to one client, and with what stands behind the broker. */
export const usPerDelivery = (result: MqttFlowResult) => (result.frontCpu / result.deliveries) * 1e6;
export const usPerPathDelivery = (result: MqttFlowResult) =>
  ((result.frontCpu + result.behindCpu) / result.deliveries) * 1e6;
export const usPerFleetDelivery = ({ cpu, deliveries }: LastingResult) =>
  (Object.values(cpu).reduce((sum, seconds) => sum + seconds, 0) / deliveries) * 1e6;
export const usPerVisit = (result: MqttConnectResult) => (result.frontCpu / result.visits) * 1e6;

/** Repetition by repetition, how many times the other's figure a row's is. */
export function ratios<R>(row: Row<R>, other: Row<R>, of: (result: R) => number): number[] {
  const pairs = Math.min(row.results.length, other.results.length);
  return Array.from({ length: pairs }, (_, i) => of(row.results[i] as R) / of(other.results[i] as R));
}
