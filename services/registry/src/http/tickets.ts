import { byMethod, type Handler, type TokenCheck } from '@pushfleet/runtime';
import type { Express, Request, Response } from 'express';
import type { Tickets } from '../tickets.ts';
import { tokenOf } from './access.ts';
import { cors } from './cors.ts';

export interface TicketOptions {
  readonly tokens: TokenCheck;
  readonly tickets: Tickets;
  readonly corsOrigins: readonly string[];
}

/** Tickets, for pages that cannot send a token. */
export function routeTickets(app: Express, { tokens, tickets, corsOrigins }: TicketOptions): void {
  const issue: Handler<Request, Response> = async (request, response) => {
    const token = tokenOf(request);
    response.status(201).json(await tickets.issue(await tokens.check(token), token));
  };
  app.use('/v1/tickets', cors(corsOrigins));
  app.all('/v1/tickets', byMethod({ POST: issue }));
}
