import { limits } from '@pushfleet/core';
import { intakeFields } from '@pushfleet/intake';
import { field } from '@pushfleet/runtime';

/** What Bayeux reads of the configuration. */
export const bayeuxFields = {
  ...intakeFields('PUSHFLEET_EDGE_LONGPOLL'),
  bayeuxTimeoutMs: field.duration({
    env: 'PUSHFLEET_EDGE_LONGPOLL_BAYEUX_TIMEOUT_SECONDS',
    doc: 'How long a Bayeux connect waits; clients are told by the advice "timeout".',
    fallback: 30,
    min: 1,
  }),
  bayeuxIdleMs: field.duration({
    env: 'PUSHFLEET_EDGE_LONGPOLL_BAYEUX_IDLE_SECONDS',
    doc: 'How long a Bayeux session lives while no connect of its client waits. What is published meanwhile is given afterwards.',
    fallback: 60,
    min: 1,
  }),
  bayeuxSubscriptions: field.integer({
    env: 'PUSHFLEET_EDGE_LONGPOLL_BAYEUX_SUBSCRIPTIONS',
    doc: 'Most channels and patterns that a Bayeux session is subscribed to.',
    fallback: limits.feedFilters,
    min: 1,
    max: limits.feedFilters,
  }),
  bayeuxMessages: field.integer({
    env: 'PUSHFLEET_EDGE_LONGPOLL_BAYEUX_MESSAGES',
    doc: 'Most messages in one Bayeux request.',
    fallback: 500,
    min: 1,
    max: limits.batchDrafts,
  }),
  bayeuxBeginMs: field.duration({
    env: 'PUSHFLEET_EDGE_LONGPOLL_BAYEUX_BEGIN_SECONDS',
    doc: 'How long a Bayeux WebSocket may be without a session: until a handshake succeeds, or a connect of a session that there is.',
    fallback: 10,
    min: 0.1,
    max: 60,
  }),
  bayeuxStrangers: field.integer({
    env: 'PUSHFLEET_EDGE_LONGPOLL_BAYEUX_STRANGERS',
    doc: 'Most Bayeux WebSockets at once that have no session yet and whose request brought no token.',
    fallback: 2_000,
    min: 1,
  }),
  bayeuxHosts: field.list({
    env: 'PUSHFLEET_EDGE_LONGPOLL_BAYEUX_HOSTS',
    doc: 'Hosts that Bayeux clients may connect to instead, told by the advice "hosts"; comma-separated.',
    fallback: '',
    example: 'eu.example.com,us.example.com',
  }),
};
