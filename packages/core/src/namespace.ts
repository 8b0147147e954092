import { PushfleetError } from './error.ts';
import { limits } from './limits.ts';

/** A team's part of the fleet: the first token of every bus subject and registry key. No filter crosses it. */
export type Namespace = string & { readonly __brand: 'Namespace' };

const legal = /^[A-Za-z0-9_-]+$/;

/** Where everybody is whose token names no namespace. */
export const defaultNamespace = 'default' as Namespace;

/** @throws PushfleetError `forbidden` unless `text` is 1 to 64 letters, digits, `_` or `-`. */
export function parseNamespace(text: string): Namespace {
  if (text.length > limits.namespaceLength || !legal.test(text)) {
    throw new PushfleetError(
      'forbidden',
      `The token's namespace must be 1 to ${limits.namespaceLength} letters, digits, "_" or "-".`,
    );
  }
  return text as Namespace;
}
