import { PushfleetError, quote } from '@pushfleet/core';
import { type Log, sendProblem } from '@pushfleet/runtime';
import express, { type Express, type NextFunction, type Request, type Response } from 'express';
import { routeDocument } from './openapi.ts';
import { type PresenceOptions, routePresence } from './presence.ts';
import { fromExpress } from './request.ts';
import { type RevocationOptions, routeRevocations } from './revocations.ts';
import { routeSubscriptions, type SubscriptionOptions } from './subscriptions.ts';
import { routeTickets, type TicketOptions } from './tickets.ts';

export interface HttpOptions extends TicketOptions, RevocationOptions, SubscriptionOptions, PresenceOptions {
  readonly log: Log;
}

/** The registry as managers and browsers see it. */
export function createApp(options: HttpOptions): Express {
  const app = express();
  app.disable('x-powered-by').disable('etag').set('query parser', false);
  app.enable('strict routing').enable('case sensitive routing');
  app.use((_, response, next) => {
    // Tickets are secrets, and a list of revocations is true for a moment only.
    response.setHeader('cache-control', 'no-store');
    next();
  });
  routeTickets(app, options);
  routeRevocations(app, options);
  routeSubscriptions(app, options);
  routePresence(app, options);
  routeDocument(app);
  app.use((request) => {
    throw new PushfleetError('not_found', `There is nothing at ${quote(request.path)}.`);
  });
  // Express knows an error handler by its four parameters.
  app.use((thrown: unknown, request: Request, response: Response, _next: NextFunction) => {
    const error = PushfleetError.from(fromExpress(thrown));
    if (error.code === 'internal') options.log.error({ err: error.cause }, 'a request failed');
    sendProblem(response, error, request.path);
  });
  return app;
}
