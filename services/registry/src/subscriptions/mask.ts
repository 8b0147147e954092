import { quote } from '@pushfleet/core';
import {
  Authority,
  Selection,
  type Subscription,
  WebhookTarget,
  WebPushTarget,
  WebSubTarget,
} from '@pushfleet/proto/pushfleet/registry/v1/subscriptions';
import { checkCount, invalid } from './check.ts';
import { recordLimits } from './limits.ts';

type Fields = Readonly<Record<string, unknown>>;

const targets: Readonly<Record<string, Fields>> = {
  webhook: { ...WebhookTarget.fromPartial({}) },
  websub: { ...WebSubTarget.fromPartial({}) },
  webpush: { ...WebPushTarget.fromPartial({}) },
};
/** What can be changed in part, as it is when it is empty. */
const messages: Readonly<Record<string, Fields>> = {
  selection: { ...Selection.fromPartial({}) },
  authority: { ...Authority.fromPartial({}) },
  ...targets,
};
const plain = [
  'filter',
  'state',
  'state_reason',
  'start_cursor',
  'expires_at',
  'description',
  'failing_since',
];
const changeable = [...plain, ...Object.keys(messages)];

const camel = (name: string): string =>
  name.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());

/**
 * The record `held` with the fields that `paths` name taken from `wanted`.
 *
 * @param paths as in google.protobuf.FieldMask: `state`, `webhook`, `webhook.url`
 * @throws PushfleetError `request_invalid` for a path that names nothing that can be changed, or another target than
 * the record has
 */
export function applyMask(held: Subscription, wanted: Subscription, paths: readonly string[]): Subscription {
  checkCount('update_mask', paths.length, 1, recordLimits.paths);
  return paths.reduce((record, path) => applyPath(record, wanted, path), held);
}

function applyPath(record: Subscription, wanted: Subscription, path: string): Subscription {
  const [top = '', field, ...rest] = path.split('.');
  if (!changeable.includes(top) || rest.length > 0 || (field !== undefined && plain.includes(top))) {
    throw unknown(path);
  }
  const target = top in targets;
  if (target && (record.target?.$case !== top || wanted.target?.$case !== top)) {
    throw invalid(
      `${quote(path)} is in the update mask, but the target is another or was not sent; a subscription's kind never changes.`,
    );
  }
  const read = (from: Subscription): unknown => (target ? from.target : from)?.[camel(top) as never];
  const value = field === undefined ? read(wanted) : merged(top, field, path, read(record), read(wanted));
  if (target) return { ...record, target: { $case: top, [top]: value } as unknown as Subscription['target'] };
  return { ...record, [camel(top)]: value };
}

function merged(top: string, field: string, path: string, held: unknown, wanted: unknown): Fields {
  const empty = messages[top] ?? {};
  const name = camel(field);
  if (field !== field.toLowerCase() || !Object.hasOwn(empty, name)) throw unknown(path);
  return { ...empty, ...(held as Fields), [name]: { ...empty, ...(wanted as Fields) }[name] };
}

const unknown = (path: string) =>
  invalid(
    `${quote(path)} in the update mask is no field that can be changed. Those are ${changeable.join(', ')}, and fields within the last ${Object.keys(messages).length}, such as webhook.url.`,
  );
