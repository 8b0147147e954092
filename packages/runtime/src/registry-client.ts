import { Metadata } from '@grpc/grpc-js';
import { PushfleetError } from '@pushfleet/core';
import { TicketServiceClient } from '@pushfleet/proto/pushfleet/registry/v1/tickets';
import type { Config } from './config.ts';
import { fromGrpc } from './grpc-error.ts';
import { internalClient } from './internal.ts';
import type { Log } from './log.ts';
import type { Part } from './part.ts';
import { watchRevocations } from './revocation-watch.ts';
import { type RevocationList, Revocations } from './revocations.ts';
import type { registryFields } from './shared-fields.ts';

/** The registry as the edges see it. A part: it follows the revocations while it runs. */
export interface RegistryClient extends Part {
  readonly revocations: RevocationList;
  /**
   * Spends a ticket for the token it stands for.
   *
   * @throws PushfleetError `unauthenticated` where it is unknown, spent or expired; `unavailable` without a registry
   */
  redeemTicket(ticket: string): Promise<string>;
}

const redeemTimeoutMs = 5_000;
/** Longest ticket sent on, in characters. */
const ticketLength = 256;

/**
 * Without PUSHFLEET_REGISTRY_URL: no revocations, and tickets are refused with advice. With it the part is not
 * ready and `revoked` throws `unavailable` before it has read the revocations once, as nobody could say which
 * tokens are still good; when the registry goes away later it keeps the list it has and stays ready.
 *
 * @throws ConfigError as `internalClient`
 */
export function createRegistryClient(
  config: Config<typeof registryFields>,
  context: { readonly name: string; readonly log: Log },
): RegistryClient {
  const { registryUrl: url } = config;
  if (url === undefined) return noRegistry;
  const client = internalClient(config, { url, service: context.name });
  const tickets = new TicketServiceClient(client.target, client.credentials, client.options);
  const revocations = new Revocations();
  const watch = watchRevocations(client, revocations, context.log);
  return {
    name: 'registry',
    revocations: onceKnown(revocations, () => watch.complete),
    start: async () => watch.start(),
    drain: async () => undefined,
    close: async () => {
      watch.close();
      tickets.close();
    },
    ready: () => (watch.complete ? undefined : 'the revocations have not been read from the registry yet'),
    redeemTicket: (ticket) => redeem(tickets, ticket, context.log),
  };
}

/** An instance that has just started may be asked before it is ready: it must not let a revoked token pass meanwhile. */
function onceKnown(list: RevocationList, isKnown: () => boolean): RevocationList {
  return {
    revoked(grant) {
      if (isKnown()) return list.revoked(grant);
      throw new PushfleetError(
        'unavailable',
        'This instance has just started and does not know yet which tokens are revoked; try again shortly.',
        { retryAfterMs: 1_000 },
      );
    },
    onRevoked: (on) => list.onRevoked(on),
  };
}

const noRegistry: RegistryClient = {
  name: 'registry',
  revocations: { revoked: () => false, onRevoked: () => () => undefined },
  start: async () => undefined,
  drain: async () => undefined,
  close: async () => undefined,
  redeemTicket: async () => {
    throw new PushfleetError(
      'unavailable',
      'Tickets need the registry, and this service has none: its operator sets PUSHFLEET_REGISTRY_URL. Use a token in a header or cookie.',
    );
  },
};

function redeem(tickets: TicketServiceClient, ticket: string, log: Log): Promise<string> {
  if (ticket === '' || ticket.length > ticketLength) return Promise.reject(badTicket());
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const options = { deadline: Date.now() + redeemTimeoutMs };
  tickets.redeemTicket({ ticket }, new Metadata(), options, (failure, response) => {
    if (failure === null) {
      resolve(response.token);
      return;
    }
    const error = fromGrpc(failure);
    if (error.code === 'unauthenticated') {
      reject(badTicket());
      return;
    }
    log.warn({ code: error.code, reason: error.message }, 'a ticket could not be redeemed');
    // Whatever else is wrong is between this service and the registry: the ticket may be good.
    reject(
      new PushfleetError('unavailable', 'The ticket cannot be checked at the moment; try again shortly.', {
        cause: failure,
        retryAfterMs: 1_000,
      }),
    );
  });
  return promise;
}

function badTicket(): PushfleetError {
  return new PushfleetError(
    'unauthenticated',
    'The ticket is unknown, was used before or has expired; get a new one from POST /v1/tickets.',
  );
}
