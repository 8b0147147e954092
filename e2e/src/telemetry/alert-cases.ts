/** Series as promtool writes them: `value+step x times`, one sample a minute. */
type Series = Readonly<Record<string, string>>;

/** What makes an alert fire, and what is next to it and does not. The rules are judged after `minutes`. */
export interface AlertCase {
  readonly fires: Series;
  readonly stays: Series;
  /** Another way to the same. */
  readonly firesToo?: Series;
  /** 20 where it is not said. */
  readonly minutes?: number;
}

const up = (job: string, instance = 'a'): string => `up{job="${job}",instance="${instance}"}`;
const ready = (instance: string, job = 'publish'): string =>
  `pushfleet_ready{job="${job}",instance="${instance}"}`;
const requests = (outcome: string): string =>
  `pushfleet_requests_seconds_count{job="publish",api="http",outcome="${outcome}"}`;
const bucket = (metric: string, labels: string, le: string): string =>
  `${metric}_bucket{${labels},le="${le}"}`;
const shard = (name: string): string => `pushfleet_log_${name}{job="publish",instance="a",shard="0"}`;
const always = (value: number): string => `${value}x60`;
/** Scraped for some minutes, then found no more. */
const gone = '1x5 stale';
const rising = (each: number): string => `0+${each}x60`;

/** All requests take longer than two seconds, or none longer than a tenth. */
const slow = (metric: string, labels: string): AlertCase => ({
  fires: {
    [bucket(metric, labels, '0.1')]: always(0),
    [bucket(metric, labels, '2')]: always(0),
    [bucket(metric, labels, '5')]: rising(60),
    [bucket(metric, labels, '+Inf')]: rising(60),
  },
  stays: {
    [bucket(metric, labels, '0.1')]: rising(60),
    [bucket(metric, labels, '+Inf')]: rising(60),
  },
});

const over = (series: string, fires: number, stays: number, minutes = 20): AlertCase => ({
  fires: { [series]: always(fires) },
  stays: { [series]: always(stays) },
  minutes,
});

/** A counter that rises over the last minutes, and one that only stands high. */
const counted = (series: string): AlertCase => ({
  fires: { [series]: rising(5) },
  stays: { [series]: always(5) },
});

/** A case for each alert, by its name. */
export const alertCases: Readonly<Record<string, AlertCase>> = {
  PushfleetInstanceDown: {
    fires: { [up('edge-sse')]: always(0), [up('edge-sse', 'b')]: always(1) },
    stays: { [up('edge-sse')]: always(1), [up('something-else')]: always(0) },
  },
  PushfleetServiceDown: {
    fires: { [up('registry')]: always(0), [up('registry', 'b')]: always(0) },
    stays: { [up('registry')]: gone, [up('registry', 'b')]: always(1) },
    firesToo: { [up('registry')]: gone, [up('registry', 'b')]: gone },
  },
  PushfleetNotReady: over(ready('a'), 0, 1),
  PushfleetServiceNotReady: {
    fires: {
      [ready('a', 'registry')]: always(0),
      [ready('b', 'registry')]: always(0),
      [ready('a')]: always(1),
    },
    stays: {
      [ready('a', 'registry')]: always(0),
      [ready('b', 'registry')]: always(1),
      [ready('a')]: always(0),
    },
  },
  PushfleetLogUnreachable: {
    fires: { [ready('a')]: always(0), [ready('b')]: always(0) },
    stays: { [ready('a')]: always(0), [ready('b')]: always(1) },
  },
  PushfleetLogQuorumLost: {
    fires: { [shard('replicas')]: always(3), [shard('replicas_current')]: always(1) },
    stays: { [shard('replicas')]: always(3), [shard('replicas_current')]: always(2) },
  },
  PushfleetLogReplicaMissing: {
    fires: { [shard('replicas')]: always(3), [shard('replicas_current')]: always(2) },
    stays: { [shard('replicas')]: always(3), [shard('replicas_current')]: always(3) },
  },
  PushfleetLogNearlyFull: {
    fires: { [shard('bytes')]: always(81), [shard('limit_bytes')]: always(100) },
    stays: { [shard('bytes')]: always(80), [shard('limit_bytes')]: always(100) },
  },
  PushfleetPublishesFail: {
    fires: { [requests('ok')]: rising(98), [requests('failed')]: rising(2) },
    stays: {
      [requests('ok')]: rising(50),
      [requests('refused')]: rising(50),
      [requests('failed')]: always(7),
    },
  },
  PushfleetPublishSlow: slow('pushfleet_requests_seconds', 'job="publish",api="http",outcome="ok"'),
  PushfleetFanoutSlow: slow('pushfleet_fanout_lag_seconds', 'job="edge-sse",protocol="sse"'),
  PushfleetEventLoopLate: over(
    'pushfleet_event_loop_delay_seconds{job="edge-sse",quantile="0.99"}',
    0.3,
    0.2,
  ),
  PushfleetGapsTold: counted('pushfleet_gaps_total{job="edge-sse"}'),
  PushfleetSlowReaders: over('pushfleet_hub_outbox_bytes{job="edge-sse"}', 268_435_457, 268_435_456),
  PushfleetWebhooksBehind: over('pushfleet_webhook_behind_publications', 1_001, 1_000),
  PushfleetWebSubBehind: over('pushfleet_websub_behind_publications', 1_001, 1_000),
  PushfleetWebhookSlotsUnowned: over('pushfleet_delivery_slots{job="delivery-webhook"}', 63, 64),
  PushfleetOutboundBroken: {
    fires: {
      'pushfleet_outbound_calls_total{job="delivery-webhook",result="lookup"}': rising(60),
      'pushfleet_outbound_calls_total{job="delivery-webhook",result="answered"}': rising(40),
    },
    stays: {
      'pushfleet_outbound_calls_total{job="delivery-webhook",result="lookup"}': rising(40),
      'pushfleet_outbound_calls_total{job="delivery-webhook",result="answered"}': rising(60),
    },
  },
  PushfleetIndexRepaired: counted('pushfleet_subscription_index_repairs_total{repair="rebuilt"}'),
  PushfleetPresenceWaits: {
    fires: { pushfleet_presence_waiting: always(101) },
    stays: { pushfleet_presence_waiting: Array(15).fill('101 101 0 101').join(' ') }, // it falls between
  },
  PushfleetFleetDisagrees: {
    fires: {
      'pushfleet_fleet_instances{instance="a",service="publish"}': always(2),
      'pushfleet_fleet_instances{instance="b",service="publish"}': always(1),
    },
    stays: {
      'pushfleet_fleet_instances{instance="a",service="publish"}': always(2),
      'pushfleet_fleet_instances{instance="b",service="publish"}': always(2),
      'pushfleet_fleet_instances{instance="b",service="edge-sse"}': always(1),
    },
  },
  PushfleetPoliciesRefused: counted('pushfleet_policies_reloads_total{job="publish",outcome="refused"}'),
  PushfleetCertificateRefused: counted('pushfleet_tls_reloads_total{job="edge-mqtt",outcome="refused"}'),
  // At the start of time, from which promtool counts, a certificate that ends at 604,800 has seven days left.
  PushfleetCertificateEnds: over(
    'pushfleet_tls_not_after_seconds{job="edge-mqtt",part="cert"}',
    604_800,
    604_800 + 1_200,
  ),
  PushfleetSecretsOutdated: over('pushfleet_subscription_secrets_outdated', 1, 0, 420),
};

const interval = '1m';

/** All cases as a file for `promtool test rules`; JSON, which is YAML. @param rules the path of the rules */
export function promtoolFile(rules: string): string {
  const test = (name: string, series: Series, value: 0 | 1, minutes: number): object => ({
    name: `${name} ${value === 1 ? 'fires' : 'does not fire'}`,
    interval,
    input_series: Object.entries(series).map(([key, values]) => ({
      series: key,
      values: values.replace('x60', `x${minutes + 5}`),
    })),
    promql_expr_test: [
      {
        expr: `count(ALERTS{alertname="${name}",alertstate="firing"} > 0) > bool 0 or vector(0)`,
        eval_time: `${minutes}m`,
        exp_samples: [{ labels: '{}', value }],
      },
    ],
  });
  return JSON.stringify({
    rule_files: [rules],
    evaluation_interval: interval,
    tests: Object.entries(alertCases).flatMap(([name, { fires, stays, firesToo = fires, minutes = 20 }]) => [
      test(name, fires, 1, minutes),
      test(name, firesToo, 1, minutes),
      test(name, stays, 0, minutes),
    ]),
  });
}
