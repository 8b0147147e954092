import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type PrometheusServer, promtool, startPrometheus, until } from '@pushfleet/contract';
import { Receiver } from '@pushfleet/contract/edge-suite';
import { Fleet, isEdge, token } from './fleet.ts';
import { MemberClient } from './member.ts';
import { protocols } from './protocols/mod.ts';
import { publish } from './stream.ts';
import { alertCases, promtoolFile } from './telemetry/alert-cases.ts';
import { drawPanels, type Line, labelOf } from './telemetry/draw.ts';
import {
  alertsFile,
  anchors,
  documentedLabels,
  labelsOf,
  metricsOf,
  type Panel,
  type Query,
  readPanels,
  withoutBound,
} from './telemetry/queries.ts';
import { HookManager, webhookEnv } from './webhooks.ts';

/** What this fleet does not do while it is watched, so that the series of it may be missing. */
const idle: Readonly<Record<string, string>> = {
  pushfleet_bayeux_session_writes_total: 'no Bayeux session moves',
  pushfleet_edge_connections_ended_total: 'no edge ends a connection',
  pushfleet_edge_streams_ended_total: 'no edge ends a stream',
  pushfleet_healed_publications_total: 'nothing is lost on the way',
  pushfleet_presence_lapses_total: 'no edge dies',
  pushfleet_replay_seconds: 'nobody comes back',
  pushfleet_subscription_index_repairs_total: 'Redis keeps all',
  pushfleet_subscription_secrets_outdated: 'there is one key',
  pushfleet_tls_not_after_seconds: 'no listener brings TLS',
  pushfleet_tls_reloads_total: 'no file of a certificate is exchanged',
  pushfleet_websub_fetches_total: 'no feed is announced',
};

interface Vector {
  readonly result: readonly { readonly metric: Readonly<Record<string, string>> }[];
}

interface Rule {
  readonly name: string;
  readonly query: string;
  readonly health: string;
  readonly lastError?: string;
  readonly annotations: Readonly<Record<string, string>>;
}

const directory = mkdtempSync(join(tmpdir(), 'pushfleet-telemetry-'));
const policies = join(directory, 'policies.json');
const receivers: Receiver[] = [];
let fleet: Fleet;
let prometheus: PrometheusServer;
let callback: Server;
let everything: string;
/** Ends the load. */
const enough = new AbortController();
let load: Promise<void>;

/** Confirms whatever it is asked, and takes whatever it is given. */
async function openCallback(): Promise<string> {
  callback = createServer((request, response) => {
    request.resume();
    response.end(new URL(request.url ?? '', 'http://here').searchParams.get('hub.challenge') ?? '');
  });
  await new Promise<void>((resolve) => callback.listen(0, '127.0.0.1', resolve));
  return `http://127.0.0.1:${(callback.address() as AddressInfo).port}/`;
}

const asked = (path: string, init: RequestInit = {}): Promise<Response> =>
  fetch(`http://${fleet.http.address}${path}`, {
    ...init,
    headers: { authorization: `Bearer ${everything}` },
  });

/** Somebody of each kind who follows `news/#`: by every protocol, webhook, WebSub, and presence. */
async function follow(): Promise<void> {
  for (const protocol of protocols) {
    const address = isEdge(protocol.service) ? fleet.door(protocol.service).address : fleet.grpc.address;
    receivers.push(await Receiver.open(protocol, address, { token: everything, filters: ['news/#'] }));
  }
  await fetch(`http://${fleet.sse.address}/sse?topic=news`); // without a token, and refused
  const url = await openCallback();
  await new HookManager(fleet, everything).create({ filter: 'news/#', url, handshake: 'none' });
  const { headers } = await fetch(`http://${fleet.http.address}/v1/topics/news/today`, { method: 'HEAD' });
  const [, hub = '', self = ''] =
    /<([^>]+)>; rel="hub", <([^>]+)>; rel="self"/.exec(headers.get('link') ?? '') ?? [];
  const form = { 'hub.mode': 'subscribe', 'hub.topic': self, 'hub.callback': url };
  assert.equal((await fetch(hub, { method: 'POST', body: new URLSearchParams(form) })).status, 202);
  await (await MemberClient.open(fleet.door('edge-websocket').address, everything)).enter(
    'news/today',
    'one',
  );
  const tickets = `http://${fleet.registry.addresses.http}/v1/tickets`;
  const ticket = await fetch(tickets, { method: 'POST', headers: { authorization: `Bearer ${everything}` } });
  assert.equal(ticket.status, 201);
  await asked('/v1/history?topic=news/today');
}

async function publishUntil(end: AbortSignal): Promise<void> {
  for (let number = 0; !end.aborted; number++) {
    await publish(fleet.http.address, `news/${number % 5 === 0 ? 'today' : number % 7}`, everything);
    await sleep(50);
  }
}

before(async () => {
  const topics = [{ namespace: 'default', filter: 'news/#', public: true }];
  writeFileSync(policies, JSON.stringify({ topics }));
  fleet = await Fleet.start({
    protocols: ['edge-sse', 'edge-websocket', 'edge-longpoll', 'edge-mqtt'],
    workers: 1,
    hubs: 1,
    env: { ...webhookEnv, PUSHFLEET_POLICIES_FILE: policies },
  });
  const grants = { publish: ['#'], subscribe: ['#', '$hooks/#'], presence: ['#'], manage: true } as const;
  everything = await token(grants);
  const jobs = Object.groupBy(fleet.services, ({ name }) => name);
  const targets = Object.fromEntries(
    Object.entries(jobs).map(([job, instances = []]) => [
      job,
      instances.map(({ addresses }) => addresses.ops as string),
    ]),
  );
  [prometheus] = await Promise.all([startPrometheus({ targets, rules: [alertsFile] }), follow()]);
  load = publishUntil(enough.signal);
  writeFileSync(policies, '{"topics": "wrong"}'); // refused, and said so
  await asked('/v1/topics/spare', { method: 'POST', body: 'x' });
  await asked('/v1/topics/spare', { method: 'DELETE' });
});
after(async () => {
  enough.abort();
  await load;
  for (const receiver of receivers) receiver.close();
  callback?.closeAllConnections();
  callback?.close();
  await prometheus?.stop();
  await fleet?.stop();
  rmSync(directory, { recursive: true });
});

const rules = async (): Promise<readonly Rule[]> => {
  const { groups } = await prometheus.ask<{ groups: readonly { rules: readonly Rule[] }[] }>('rules');
  return groups.flatMap((group) => group.rules);
};

const isIdle = ({ expression }: Query): boolean =>
  metricsOf(expression).some((metric) => idle[metric.replace(/_(bucket|count|sum)$/, '')] !== undefined);

/** Those that have no series, though the fleet does what they are about. @throws Error where one does not parse */
async function silent(queries: readonly Query[]): Promise<string[]> {
  const answers = await Promise.all(
    queries.map(({ expression }) => prometheus.ask<Vector>('query', { query: expression })),
  );
  return queries
    .filter((query, index) => answers[index]?.result.length === 0 && !isIdle(query))
    .map(({ of, expression }) => `${of}: ${expression}`);
}

async function resolved(queries: readonly Query[]): Promise<void> {
  let missing: readonly string[] = [];
  await until(
    async () => {
      missing = await silent(queries);
      return missing.length === 0;
    },
    'series of all queries',
    30_000,
  ).catch((error: Error) => {
    throw missing.length > 0 ? new Error(`no series of:\n${missing.join('\n')}`) : error;
  });
}

/** Names that neither a scrape nor the table of metrics knows. */
async function unknown(queries: readonly Query[]): Promise<string[]> {
  const documented = documentedLabels();
  const scraped = new Set(await prometheus.ask<string[]>('label/__name__/values'));
  const names: string[] = [];
  for (const { of, expression } of queries) {
    const metrics = metricsOf(expression);
    for (const metric of metrics) {
      const isKnown = scraped.has(metric) || documented.has(metric.replace(/_(bucket|count|sum)$/, ''));
      if (!isKnown) names.push(`${of}: ${metric}`);
    }
    const known = new Set(['job', 'instance', 'le']);
    for (const metric of metrics) {
      for (const label of documented.get(metric.replace(/_(bucket|count|sum)$/, '')) ?? []) known.add(label);
    }
    names.push(
      ...labelsOf(expression)
        .filter((label) => !known.has(label))
        .map((label) => `${of}: ${label}`),
    );
  }
  return names;
}

test('every query of the dashboards has series, and names nothing that is unknown', async () => {
  const panels = readPanels();
  const queries = panels.flatMap((panel) => panel.queries);
  assert.equal(new Set(panels.map(({ dashboard }) => dashboard)).size, 5);
  await resolved(queries);
  assert.deepEqual(await unknown(queries), []);
  if (process.env.TELEMETRY_PICTURES !== undefined) await draw(panels, process.env.TELEMETRY_PICTURES);
});

test('every alert looks at series, is judged without an error, and leads to its runbook', async () => {
  const alerts = await rules();
  const queries = alerts.map(({ name, query }) => ({
    of: name,
    expression: withoutBound(query).replaceAll(/\[\d+[mh]\]/g, '[20s]'),
    legend: '',
  }));
  await resolved(queries);
  assert.deepEqual(await unknown(queries), []);
  await until(
    async () => (await rules()).every(({ health }) => health !== 'unknown'),
    'all rules to be judged',
  );
  const wrong = (await rules()).filter(({ health }) => health !== 'ok');
  assert.deepEqual(wrong, []);
  const headings = anchors();
  for (const { name, annotations } of alerts) {
    const [file, anchor = ''] = (annotations.runbook_url ?? '').split('#');
    assert.equal(file, 'docs/operations.md', name);
    assert.ok(headings.has(anchor), `${name} leads to #${anchor}, which docs/operations.md does not have`);
  }
});

test('every alert fires where it has to, and not beside it', async () => {
  assert.deepEqual(Object.keys(alertCases).toSorted(), (await rules()).map(({ name }) => name).toSorted());
  await promtool('check', 'rules', alertsFile);
  const file = join(directory, 'alerts.test.yml');
  writeFileSync(file, promtoolFile(alertsFile));
  await promtool('test', 'rules', file);
});

/** The last of what was seen, a picture for each dashboard. @param folder where they go */
async function draw(panels: readonly Panel[], folder: string): Promise<void> {
  await sleep(60_000); // a picture of a minute
  const end = Date.now() / 1_000;
  const range = { start: String(end - 55), end: String(end), step: '1' };
  for (const dashboard of new Set(panels.map((panel) => panel.dashboard))) {
    const drawings = [];
    for (const { title, unit, queries } of panels.filter(
      (panel) => panel.dashboard === dashboard && panel.type === 'timeseries',
    )) {
      const lines: { label: string; values: Line['values'] }[] = [];
      for (const { expression, legend } of queries) {
        const { result } = await prometheus.ask<{ result: readonly Line[] }>('query_range', {
          query: expression,
          ...range,
        });
        lines.push(...result.map(({ metric, values }) => ({ label: labelOf(legend, metric), values })));
      }
      drawings.push({ title, unit, lines });
    }
    writeFileSync(join(folder, `${dashboard}.svg`), drawPanels(drawings));
  }
}
