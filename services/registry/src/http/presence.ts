import { encodeMember, PushfleetError } from '@pushfleet/core';
import {
  byMethod,
  type Handler,
  type Policies,
  requirePresencePolicy,
  type TokenCheck,
} from '@pushfleet/runtime';
import type { Express, Request, Response } from 'express';
import { readTopic } from '../presence/check-entry.ts';
import type { PresenceRegister } from '../presence/register.ts';
import { grantOf } from './access.ts';
import { readLimit, readQuery } from './request.ts';

export interface PresenceOptions {
  readonly tokens: TokenCheck;
  readonly presence: Pick<PresenceRegister, 'list'>;
  readonly policies: Pick<Policies, 'of'>;
}

/** Who is on a topic, for whose token grants its presence. */
export function routePresence(app: Express, { tokens, presence, policies }: PresenceOptions): void {
  const list: Handler<Request, Response> = async (request, response) => {
    const grant = await grantOf(tokens, request);
    const query = readQuery(request, ['topic', 'subject', 'after', 'limit']);
    if (query.topic === undefined) {
      throw new PushfleetError('request_invalid', 'Name a topic: GET /v1/presence?topic=rooms/1.');
    }
    const topic = readTopic(query.topic);
    grant.require('presence', topic);
    const { namespace } = grant;
    requirePresencePolicy(policies, namespace, topic);
    const { subject = '', after = '' } = query;
    const question = { namespace, topic, subject, after, limit: readLimit(query.limit) };
    const { members, next, total } = await presence.list(question);
    const tail = next === '' ? '' : `,"next":${JSON.stringify(next)}`;
    response
      .type('application/json')
      .send(`{"members":[${members.map(encodeMember).join(',')}],"total":${total}${tail}}`);
  };
  app.all('/v1/presence', byMethod({ GET: list }));
}
