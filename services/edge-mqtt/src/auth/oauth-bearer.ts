import { PushfleetError } from '@pushfleet/core';
import { bearer, type TokenCheck } from '@pushfleet/runtime';
import type { Exchange, Turn } from './exchange.ts';

/** Longest message, in bytes: the longest token, and what is around it. */
export const bearerBytes = 17_408;

// RFC 7628 section 3.1. Host, port and whatever else comes say nothing that the connection does not.
const form = /^[ny],(?:a=((?:[^,=]|=2C|=3D)+))?,\u0001((?:[A-Za-z]+=[^\u0001]*\u0001)*)\u0001$/;

/**
 * A token as OAUTHBEARER sends it: one message, and the answer. What RFC 7628 section 3.2.2 answers a failure with, for
 * protocols that have no words for it, is in the reason and the reason string of MQTT.
 */
export class BearerExchange implements Exchange {
  readonly #tokens: TokenCheck;

  constructor(tokens: TokenCheck) {
    this.#tokens = tokens;
  }

  async next(data: Buffer | undefined): Promise<Turn> {
    const { token, identity } = read(data ?? Buffer.alloc(0));
    const grant = await this.#tokens.check(token);
    if (identity !== undefined && identity !== grant.subject) {
      throw new PushfleetError(
        'unauthenticated',
        'The authorization identity is not the subject of the token; leave it out.',
      );
    }
    return { kind: 'known', grant, data: undefined };
  }
}

function read(data: Buffer): { readonly token: string; readonly identity: string | undefined } {
  const [whole, identity, pairs = ''] = (data.length <= bearerBytes && form.exec(data.toString())) || [];
  const found = /(?:^|\u0001)auth=([^\u0001]*)/.exec(pairs)?.[1];
  if (whole === undefined || found === undefined) {
    throw new PushfleetError(
      'unauthenticated',
      `The data of OAUTHBEARER are "n,,", U+0001, "auth=Bearer <token>" and U+0001 twice, ${bearerBytes} bytes at most. RFC 7628 section 3.1`,
    );
  }
  return {
    token: bearer({ authorization: found }) as string,
    identity: identity?.replaceAll('=2C', ',').replaceAll('=3D', '='),
  };
}
