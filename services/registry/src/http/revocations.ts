import { PushfleetError } from '@pushfleet/core';
import { byMethod, type Grant, type Handler, type TokenCheck } from '@pushfleet/runtime';
import type { Express, Request, Response } from 'express';
import { isRevocationId } from '../revocation.ts';
import { parseTerms, toJson } from '../revocation-json.ts';
import { notFound } from '../revocation-ledger.ts';
import type { RevocationRegister } from '../revocations.ts';
import { everything, grantOf } from './access.ts';
import { readBody, readLimit, readQuery } from './request.ts';

export interface RevocationOptions {
  readonly tokens: TokenCheck;
  readonly revocations: RevocationRegister;
  /** How long a token may live, in milliseconds; a revocation that names no end outlives it. */
  readonly tokenLifetimeMs: number;
}

type Endpoint = Handler<Request, Response>;

/** Revocations, for managers of everything. */
export function routeRevocations(app: Express, options: RevocationOptions): void {
  const { tokens, revocations, tokenLifetimeMs } = options;

  const list: Endpoint = async (request, response) => {
    const { namespace } = await managerOf(tokens, request);
    const query = readQuery(request, ['after', 'limit']);
    const limit = readLimit(query.limit);
    const entries = revocations.list(namespace, readAfter(query.after), limit + 1);
    const page = entries.slice(0, limit);
    const next = entries.length > limit ? page.at(-1)?.id : undefined;
    response.json({ revocations: page.map(toJson), next });
  };

  const revoke: Endpoint = async (request, response) => {
    const { namespace, subject } = await managerOf(tokens, request);
    const terms = parseTerms(await readBody(request, response), Date.now(), tokenLifetimeMs);
    const { entry, created } = await revocations.revoke(namespace, terms, subject);
    response
      .status(created ? 201 : 200)
      .location(`/v1/revocations/${entry.id}`)
      .json(toJson(entry));
  };

  const lift: Endpoint = async (request, response) => {
    const { namespace } = await managerOf(tokens, request);
    const id = String(request.params.id);
    if (!isRevocationId(id)) throw notFound();
    await revocations.lift(namespace, id);
    response.status(204).end();
  };

  app.all('/v1/revocations', byMethod({ GET: list, POST: revoke }));
  app.all('/v1/revocations/:id', byMethod({ DELETE: lift }));
}

async function managerOf(tokens: TokenCheck, request: Request): Promise<Grant> {
  const grant = await grantOf(tokens, request);
  grant.require('manage', everything);
  return grant;
}

function readAfter(after = ''): string {
  if (after === '' || isRevocationId(after)) return after;
  throw new PushfleetError(
    'request_invalid',
    '"after" is the "next" of the page before; leave it out to begin.',
  );
}
