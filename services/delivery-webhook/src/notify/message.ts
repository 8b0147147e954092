import { NotifyForm } from '@pushfleet/proto/pushfleet/registry/v1/subscriptions';

/** What a notification says of itself. */
export interface Notice {
  /** Of the subscription: SID without `uuid:`, or Subscription-ID. */
  readonly id: string;
  /** SEQ; the WebDAV form has none. */
  readonly sequence: number;
}

/**
 * The headers that make a request a notification: UPnP Device Architecture 1.1, section 4.3.2 (GENA), or the NOTIFY
 * method of Exchange and WebDAV.
 */
export const noticeHeaders = (form: NotifyForm, { id, sequence }: Notice): Record<string, string> =>
  form === NotifyForm.NOTIFY_FORM_GENA
    ? { nt: 'upnp:event', nts: 'upnp:propchange', sid: `uuid:${id}`, seq: String(sequence) }
    : { 'subscription-id': id };

/** The first notification, which carries no publication: of GENA a set of no properties, of WebDAV no body. */
export const firstNotice = (
  form: NotifyForm,
): { readonly headers: Readonly<Record<string, string>>; readonly body: Uint8Array } =>
  form === NotifyForm.NOTIFY_FORM_GENA
    ? { headers: { 'content-type': 'text/xml; charset="utf-8"' }, body: noProperties }
    : { headers: {}, body: new Uint8Array() };

const noProperties = Buffer.from(
  '<?xml version="1.0"?>\n<e:propertyset xmlns:e="urn:schemas-upnp-org:event-1-0"/>\n',
);
