import { PushfleetError } from '@pushfleet/core';
import { type Message, textField } from './message.ts';

/** "All server and client implementations MUST support the long-polling connection type." */
export const connectionTypes = ['websocket', 'long-polling', 'callback-polling'] as const;
export const version = '1.0';

/** @throws PushfleetError `request_invalid` where client and server have no version or connection type in common */
export function checkVersion(message: Message): void {
  const [major] = (textField(message, 'version') ?? '').split('.');
  const least = textField(message, 'minimumVersion');
  if (!/^\d+$/.test(major ?? '') || (least !== undefined && !/^[01](\.0\w*)?$/.test(least))) {
    throw new PushfleetError('request_invalid', `This server speaks Bayeux ${version}.`);
  }
  const { supportedConnectionTypes: types } = message;
  if (Array.isArray(types) && types.some((type) => connectionTypes.includes(type as never))) return;
  throw new PushfleetError(
    'request_invalid',
    `The field "supportedConnectionTypes" must list one of ${connectionTypes.join(', ')}.`,
  );
}

export function requireConnectionType({ connectionType }: Message): void {
  if (connectionTypes.includes(connectionType as never)) return;
  throw new PushfleetError(
    'request_invalid',
    `The field "connectionType" must be one of ${connectionTypes.join(', ')}.`,
  );
}
