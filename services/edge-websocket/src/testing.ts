// What this service's tests share; nothing else imports it.
import { type Member, PushfleetError, type Topic } from '@pushfleet/core';
import type { Entry, Members, Parting, PresenceClient } from '@pushfleet/edge';
import {
  type Scope,
  type Started,
  startOn,
  type TestFooting,
  type TestShared,
  testEnv,
  testFooting,
  token as tokenOf,
} from '@pushfleet/edge/testing';
import { createIntake, type Intake } from '@pushfleet/intake';
import { type Grant, noTraces, readConfig, type Traces } from '@pushfleet/runtime';
import { type EdgeConfig, fields } from './config.ts';
import { Edge } from './edge.ts';
import type { SessionsOptions } from './sessions.ts';

/** A token that may subscribe, publish and be present everywhere, unless `claims` say otherwise. */
export const token = (claims: object = {}): string =>
  tokenOf({ pushfleet: { subscribe: ['#'], publish: ['#'], presence: ['#'] }, ...claims });

/** Presence in the memory of a test. */
export class FakePresence implements Pick<SessionsOptions['presence'], 'enter'> {
  readonly members = new Map<string, Member>();
  readonly partings: { connection: string; how: Parting }[] = [];

  async enter(grant: Grant, topic: Topic, client: PresenceClient, entry: Entry): Promise<Member> {
    grant.require('presence', topic);
    const member: Member = {
      ...{ subject: grant.subject, client: client.id, status: entry.status ?? 'online' },
      ...{ state: entry.state ?? new Uint8Array(), stateContentType: entry.stateContentType ?? '' },
      ...{ since: 0, changed: 0, revision: this.members.size + 1 },
    };
    this.members.set(`${topic} ${client.id} ${client.connection}`, member);
    return member;
  }

  async update(grant: Grant, topic: Topic, client: PresenceClient, entry: Entry): Promise<Member> {
    if (!this.members.has(`${topic} ${client.id} ${client.connection}`)) {
      throw new PushfleetError('not_found', 'Nobody entered by this connection.');
    }
    return this.enter(grant, topic, client, entry);
  }

  async leave(_grant: Grant, topic: Topic, client: PresenceClient): Promise<void> {
    this.members.delete(`${topic} ${client.id} ${client.connection}`);
  }

  async list(_grant: Grant, topic: Topic): Promise<Members> {
    const members = [...this.members].filter(([key]) => key.startsWith(`${topic} `)).map(([, one]) => one);
    return { members, total: members.length };
  }

  leaveAll(connection: string, how: Parting): void {
    this.partings.push({ connection, how });
    for (const key of this.members.keys()) if (key.endsWith(` ${connection}`)) this.members.delete(key);
  }
}

export interface TestEdge extends Started<Edge> {
  readonly url: string;
  readonly presence: FakePresence;
}

export interface TestEdgeOptions extends TestShared {
  readonly traces?: Traces;
  /** In the place of the real one. */
  readonly intake?: Pick<Intake, 'publish'>;
}

/** An edge on a free port of this machine until the scope ends; `env` as an operator would set it. */
export async function startEdge(
  scope: Scope,
  env: Record<string, string> = {},
  { traces = noTraces, intake, ...shared }: TestEdgeOptions = {},
): Promise<TestEdge> {
  const config = readConfig(fields, testEnv('WEBSOCKET', env));
  const footing = await testFooting(scope, config, 'websocket', shared);
  const presence = new FakePresence();
  const edge = new Edge({
    ...{ config, traces, presence },
    intake: intake ?? intakeOn(footing, config),
    ...footing,
  });
  const started = await startOn(scope, footing, edge);
  return { ...started, url: `ws://127.0.0.1:${started.port}/ws`, presence };
}

function intakeOn({ backbone, quotas, log }: TestFooting, config: EdgeConfig): Intake {
  return createIntake({
    ...{ config, backbone, quotas, log, instance: 'test' },
    terms: () => undefined,
    policies: { of: () => ({ history: true, presence: true }), quota: () => ({}), limitsStorage: false },
  }).intake;
}
