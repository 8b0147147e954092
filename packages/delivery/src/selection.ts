import { defaultType, limits, type Publication, PushfleetError, quote } from '@pushfleet/core';
import type { Selection } from '@pushfleet/proto/pushfleet/registry/v1/subscriptions';
import { compileExpression, type Judge } from './expression.ts';

export { expressionLength } from './expression.ts';

/** Most types of one selection. */
export const selectionTypes = 64;

/**
 * Makes the conditions of a selection one question: whether a publication meets all of them. A publication whose
 * publisher named no type is of the type that its receivers are told, `pushfleet.publication`.
 *
 * @param failed called when an expression cannot be judged for a publication, which does not match then; an attribute
 *   that the publication does not have is no failure
 * @throws PushfleetError `request_invalid`, with what the expression should be
 */
export function compileSelection(selection: Selection, failed: (error: unknown) => void = () => {}): Judge {
  checkTypes(selection.types);
  const types = new Set(selection.types);
  const ofType = ({ type = defaultType }: Publication): boolean => types.has(type);
  if (selection.expression === '') return types.size === 0 ? () => true : ofType;
  const holds = compileExpression(selection.expression, failed);
  return types.size === 0 ? holds : (publication) => ofType(publication) && holds(publication);
}

function checkTypes(types: readonly string[]): void {
  if (types.length > selectionTypes) {
    throw new PushfleetError(
      'request_invalid',
      `A subscription names at most ${selectionTypes} types, not ${types.length}; an expression such as type.startsWith("order.") takes many at once.`,
      { detail: { limit: selectionTypes } },
    );
  }
  for (const type of types) {
    if (type === '' || !type.isWellFormed() || Buffer.byteLength(type) > limits.nameBytes) {
      throw new PushfleetError(
        'request_invalid',
        `A type is 1 to ${limits.nameBytes} bytes of UTF-8; no publication has the type ${quote(type)}.`,
      );
    }
  }
}
