import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto';
import { type Namespace, PushfleetError, parseNamespace } from '@pushfleet/core';

/**
 * A ticket is `<namespace>.<256 random bits>`. Both the name of its record and the key that opens it are
 * derived from those bits, so that the store, which has neither, gives nobody a token or a ticket.
 */
export interface Ticket {
  /** What the client holds: URL-safe. */
  readonly text: string;
  readonly namespace: Namespace;
  /** Names the record; a one-way function of the ticket. */
  readonly id: string;
  readonly key: Buffer;
}

/** What a ticket stands for. */
export interface TicketContents {
  readonly token: string;
  readonly subject: string;
}

const secretBytes = 32;
const nonceBytes = 12;
const tagBytes = 16;
const shape = /^([A-Za-z0-9_-]{1,64})\.([A-Za-z0-9_-]{43})$/;

/** A new ticket of this namespace. */
export function createTicket(namespace: Namespace): Ticket {
  return derive(namespace, randomBytes(secretBytes));
}

/** @throws PushfleetError `unauthenticated`, without the text, which is a secret */
export function parseTicket(text: string): Ticket {
  const [, namespace, secret] = shape.exec(text) ?? [];
  if (namespace === undefined || secret === undefined) throw refused();
  const ticket = derive(parseNamespace(namespace), Buffer.from(secret, 'base64url'));
  // 43 base64url characters hold 258 bits: of the four texts with the same 256 only the issued one is good.
  if (ticket.text !== text) throw refused();
  return ticket;
}

/** The one answer to a ticket that is unknown, spent or expired: which of the three it is helps only a thief. */
export function refused(): PushfleetError {
  return new PushfleetError(
    'unauthenticated',
    'The ticket is unknown, was used before, or has expired. A ticket is good for one connection: get a new one from POST /v1/tickets.',
  );
}

function derive(namespace: Namespace, secret: Buffer): Ticket {
  const derived = Buffer.from(hkdfSync('sha256', secret, '', `pushfleet ticket ${namespace}`, 64));
  return {
    text: `${namespace}.${secret.toString('base64url')}`,
    namespace,
    id: derived.toString('base64url', 0, 32),
    key: derived.subarray(32),
  };
}

/** The record of a ticket: nonce, tag and ciphertext of AES-256-GCM, in base64. */
export function seal(ticket: Ticket, contents: TicketContents): string {
  const nonce = randomBytes(nonceBytes);
  const cipher = createCipheriv('aes-256-gcm', ticket.key, nonce);
  const sealed = Buffer.concat([cipher.update(JSON.stringify(contents)), cipher.final()]);
  return Buffer.concat([nonce, cipher.getAuthTag(), sealed]).toString('base64');
}

/** @throws PushfleetError `unauthenticated` where the record was not sealed for this ticket */
export function unseal(ticket: Ticket, record: string): TicketContents {
  try {
    const bytes = Buffer.from(record, 'base64');
    const decipher = createDecipheriv('aes-256-gcm', ticket.key, bytes.subarray(0, nonceBytes), {
      authTagLength: tagBytes,
    });
    decipher.setAuthTag(bytes.subarray(nonceBytes, nonceBytes + tagBytes));
    const opened = Buffer.concat([decipher.update(bytes.subarray(nonceBytes + tagBytes)), decipher.final()]);
    return JSON.parse(opened.toString()) as TicketContents;
  } catch {
    throw refused();
  }
}
