import { createHmac } from 'node:crypto';
import {
  binaryHeaders,
  type Cursor,
  fitsHeaders,
  needsStructuredMode,
  type Publication,
} from '@pushfleet/core';
import type { WebSubTarget } from '@pushfleet/proto/pushfleet/registry/v1/subscriptions';

/**
 * The headers of a content distribution request (WebSub, section 7). The payload is the body, as it was published;
 * the publication's attributes come as `ce-` headers where there is room for them.
 */
export function distributionHeaders(
  publication: Publication,
  cursor: Cursor,
  target: Pick<WebSubTarget, 'topicUrl' | 'secret' | 'signatureMethod'>,
  hubUrl: string,
): Record<string, string> {
  const signature = signatureOf(target, publication.payload);
  return {
    ...contentHeaders(publication, cursor),
    link: `<${linkable(hubUrl)}>; rel="hub", <${linkable(target.topicUrl)}>; rel="self"`,
    ...(signature !== undefined && { 'x-hub-signature': signature }),
  };
}

const contents = new WeakMap<Publication, Readonly<Record<string, string>>>();

/** The same for all receivers of a publication: made once. */
function contentHeaders(publication: Publication, cursor: Cursor): Readonly<Record<string, string>> {
  let headers = contents.get(publication);
  if (headers === undefined) {
    const all = needsStructuredMode(publication) ? {} : binaryHeaders(publication, cursor);
    // UTF-8 in a content type passes as its bytes.
    const type = Buffer.from(publication.contentType).toString('latin1');
    headers = { ...(fitsHeaders(all) ? all : {}), 'content-type': type };
    contents.set(publication, headers);
  }
  return headers;
}

/** WebSub, section 7.1: there exactly where a secret was given. */
function signatureOf(
  { secret, signatureMethod }: Pick<WebSubTarget, 'secret' | 'signatureMethod'>,
  body: Uint8Array,
): string | undefined {
  if (signatureMethod === '') return undefined;
  return `${signatureMethod}=${createHmac(signatureMethod, secret).update(body).digest('hex')}`;
}

/** A URL as its subscriber gave it, unless it could not stand in a header (RFC 8288 section 3). */
const linkable = (url: string): string => (/^[\x21-\x3b\x3d\x3f-\x7e]*$/.test(url) ? url : new URL(url).href);
