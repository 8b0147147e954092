import type { LogTerms, Stores } from '@pushfleet/bus';
import type { Backbone } from '@pushfleet/core';
import { createDeliveryControl, wireDelivery, wrongWith } from '@pushfleet/delivery';
import { createIntake } from '@pushfleet/intake';
import { type Subscription, SubscriptionKind } from '@pushfleet/proto/pushfleet/registry/v1/subscriptions';
import {
  afterwards,
  type Config,
  ConfigError,
  createPolicies,
  HttpServer,
  type Part,
  part,
  Quotas,
  RateLimit,
  type ServiceContext,
} from '@pushfleet/runtime';
import type { fields } from './config.ts';
import { createConsent } from './consent.ts';
import { WebSubCourier } from './courier.ts';
import { Fetcher } from './feeds/fetcher.ts';
import { Notices } from './feeds/notices.ts';
import { createApp } from './hub/app.ts';
import { Subscribing } from './hub/subscribing.ts';
import { TopicUrls } from './hub/topic-urls.ts';

export const name = 'delivery-websub';

const kind = 'websub';
/** What a question takes beside the waits between its attempts, in milliseconds. */
const questionMs = 60_000;
const headerBytes = 16_384;
/** Beyond the time-out of the call that is waited for, in milliseconds. */
const syncGraceMs = 2_000;
/** What is fetched is held back by the time that fetches take, long before this many publications a second. */
const fetchRate = 1_000;
/** So many requests may come at once for each that may come in a second. */
const burst = 10;

/** The parts of the service over a log. @throws ConfigError without a registry or a public address */
export function wireDeliveryWebSub(
  config: Config<typeof fields>,
  context: Pick<ServiceContext, 'log' | 'metrics'>,
  backbone: Backbone & Stores & { readonly terms: LogTerms | undefined },
): { readonly parts: readonly Part[]; readonly http: HttpServer } {
  const { log } = context;
  const origin = originOf(config);
  checkLeases(config);
  const policies = createPolicies({ file: config.policiesFile, ...context });
  const topicUrls = new TopicUrls({ origin, policies });
  const objection = (subscription: Subscription): string | undefined =>
    topicUrls.holds(subscription) ? undefined : 'The topic is not public any more.';
  const quotas: Quotas = new Quotas({
    policies,
    elsewhere: (namespace) => service.fleet.elsewhere(namespace),
  });
  const pendingMs = config.questionRetryMs.reduce((sum, ms) => sum + ms * 2, questionMs);
  const consent = createConsent(pendingMs);
  const service = wireDelivery(config, context, backbone, {
    ...{ kind, name, consent, objection, ownerless: true },
    standing: {
      namespaces: () => policies.publicNamespaces(),
      onChange: (on) => policies.onChange(on),
    },
    subscriptionKind: SubscriptionKind.SUBSCRIPTION_KIND_WEBSUB,
    limits: {
      ...config,
      retryMs: repeated(config.retryMs, config.leaseMostMs),
      horizonMs: config.leaseMostMs,
      // WebSub, section 7: a subscription stays until its lease ends, whatever its deliveries come to.
      suspendAfterMs: Number.POSITIVE_INFINITY,
      // None are kept.
      ...{ attemptsMs: 0, deadLettersMs: 0 },
    },
    courier: ({ caller, revocations, tracking }) =>
      new WebSubCourier({
        ...{ caller, tracking, log, hubUrl: `${origin}/websub` },
        wrongWith: (subscription) => wrongWith(subscription, { revocations, objection }),
        timeoutMs: config.timeoutMs,
        bodyBytes: config.bodyBytes,
      }),
    usage: () => quotas.usage(),
    beside: ({ fleet, caller }) => {
      const { intake, meters } = createIntake({
        config: { payloadBytes: config.fetchBytes, ratePerSecond: fetchRate, rateBurst: fetchRate },
        terms: () => backbone.terms,
        ...{ backbone, policies, quotas, instance: fleet.instance, log },
      });
      const fetcher = new Fetcher({
        ...{ fleet, policies, caller, intake, service: name, ...context },
        queue: backbone.queue('feeds'),
        ledger: backbone.ledger('feeds'),
        retryMs: config.fetchRetryMs,
        timeoutMs: config.timeoutMs,
        bytes: config.fetchBytes,
      });
      const measuring = part('meters', afterwards(fetcher.drained, meters));
      return [{ ...measuring, ready: () => meters.ready() }, fetcher];
    },
  });
  const subscribing = new Subscribing({
    registry: service.registry,
    control: createDeliveryControl(kind, backbone, backbone.signals, true),
    ...{ consent, topicUrls, pendingMs },
    checkUrl: (url) => service.caller.check(url),
    wrongWith: (subscription) => wrongWith(subscription, { revocations: service.revocations, objection }),
    lease: { usualMs: config.leaseMs, leastMs: config.leaseLeastMs, mostMs: config.leaseMostMs },
    signature: config.signature,
    hostLimit: config.hostSubscriptions,
    syncMs: config.timeoutMs + syncGraceMs,
    syncMost: config.syncRequests,
  });
  const rates = { address: rateOf(config.rate), host: rateOf(config.hostRate) };
  const handler = createApp({
    ...{ subscribing, rates, log },
    notices: new Notices(backbone.queue('feeds'), policies),
  });
  const { requestMs } = config;
  const http = new HttpServer({ address: config.listen, handler, log, headerBytes, requestMs });
  return { parts: [policies, ...service.parts, http], http };
}

const rateOf = (perSecond: number): RateLimit => new RateLimit({ perSecond, burst: perSecond * burst });

/** The table with its last delay again and again, until a time is over. */
function repeated(table: readonly number[], untilMs: number): readonly number[] {
  const all = [...table];
  const last = all.at(-1) as number;
  for (let sum = all.reduce((a, b) => a + b, 0); sum < untilMs && all.length < mostAttempts; sum += last)
    all.push(last);
  return all;
}

/** More would be seconds between attempts for days; the breaker makes fewer of them anyway. */
const mostAttempts = 10_000;

function originOf({ publicUrl }: Config<typeof fields>): string {
  if (publicUrl !== undefined) return new URL(publicUrl).origin;
  throw new ConfigError([
    'PUSHFLEET_PUBLIC_URL is not set. Subscribers name topics by it, for example PUSHFLEET_PUBLIC_URL=https://push.example.com.',
  ]);
}

function checkLeases({ leaseMs, leaseLeastMs, leaseMostMs }: Config<typeof fields>): void {
  if (leaseLeastMs <= leaseMs && leaseMs <= leaseMostMs) return;
  throw new ConfigError([
    'PUSHFLEET_WEBSUB_LEASE lies outside of PUSHFLEET_WEBSUB_LEASE_MIN and PUSHFLEET_WEBSUB_LEASE_MAX.',
  ]);
}
