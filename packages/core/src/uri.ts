// RFC 3986 appendix A, without the details of a host's digits.
const pct = '%[0-9a-f]{2}';
const name = `[\\w.~!$&'()*+,;=-]|${pct}`;
const segment = `${name}|[:@]`;
const authority = `(?:(?:${name}|:)*@)?(?:\\[[0-9a-f:.]+\\]|(?:${name})*)(?::\\d*)?`;
const located = `//${authority}(?:/(?:${segment}|/)*)?`;
const ending = `(?:\\?(?:${segment}|[/?])*)?(?:#(?:${segment}|[/?])*)?`;
const uri = `[a-z][a-z0-9+.-]*:(?:${located}|(?!//)(?:${segment}|/)*)${ending}`;
// Before the first slash a colon would end a scheme.
const relative = `(?:${located}|(?!//)(?:${name}|@)*(?:/(?:${segment}|/)*)?)${ending}`;

const isUriPattern = new RegExp(`^${uri}$`, 'i');
const isReferencePattern = new RegExp(`^(?:${uri}|${relative})$`, 'i');

/** Whether the text is a URI, with or without a fragment (RFC 3986 section 3). At most some kilobytes, please. */
export const isUri = (text: string): boolean => isUriPattern.test(text);

/** The text itself where it is a URI-reference (RFC 3986 section 4.1), else a relative one with its characters escaped. */
export function uriReference(text: string): string {
  if (isReferencePattern.test(text)) return text;
  return encodeURIComponent(text).replaceAll('%2F', '/');
}
