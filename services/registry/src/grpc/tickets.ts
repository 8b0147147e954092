import type { TicketServiceServer } from '@pushfleet/proto/pushfleet/registry/v1/tickets';
import type { Log } from '@pushfleet/runtime';
import type { Tickets } from '../tickets.ts';
import { unary } from './unary.ts';

export function ticketService(tickets: Tickets, log: Log): TicketServiceServer {
  return {
    redeemTicket: unary(log, async ({ ticket }) => ({ token: await tickets.redeem(ticket) })),
  };
}
