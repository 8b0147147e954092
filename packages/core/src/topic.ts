import { PushfleetError } from './error.ts';
import { limits } from './limits.ts';

/** A `/`-separated name: MQTT 5.0 section 4.7, empty levels allowed, at most 1,024 bytes. */
export type Topic = string & { readonly __brand: 'Topic' };

/** A topic in which a level may be `+` and the last may be `#` (this level and all below). Every topic is one. */
export type TopicFilter = string & { readonly __brand: 'TopicFilter' };

// A lone surrogate has no UTF-8 form; [MQTT-1.5.4-1] forbids it and [MQTT-1.5.4-2] forbids NUL.
const unencodable = /\0|[\uD800-\uDBFF](?![\uDC00-\uDFFF])|(?<![\uD800-\uDBFF])[\uDC00-\uDFFF]/;

/** The UTF-8 length of `text`, in bytes. */
export const byteLength = (text: string): number => Buffer.byteLength(text);

function complaint(text: string, noun: string): string | undefined {
  if (text.length === 0) return `A ${noun} has at least one character.`;
  const bytes = byteLength(text);
  if (bytes > limits.topicBytes) {
    return `A ${noun} is at most ${limits.topicBytes} bytes of UTF-8; this one has ${bytes}.`;
  }
  if (unencodable.test(text)) return `A ${noun} is UTF-8 without NUL; ${quote(text)} is not.`;
  return undefined;
}

/** `text` as it may stand in an error: JSON-quoted, so that no control character reaches a log or a header. */
export function quote(text: string): string {
  return JSON.stringify(text.length > 120 ? `${text.slice(0, 120)}…` : text);
}

/** @throws PushfleetError `topic_invalid`, naming the value and the rule it breaks. */
export function parseTopic(text: string): Topic {
  const reason =
    complaint(text, 'topic') ??
    (/[+#]/.test(text)
      ? `A topic holds no wildcard: ${quote(text)} has "+" or "#". Filters are for subscribing and reading; name one topic here.`
      : undefined);
  if (reason !== undefined) throw new PushfleetError('topic_invalid', reason);
  return text as Topic;
}

/** @throws PushfleetError `filter_invalid`, naming the value and the rule it breaks ([MQTT-4.7.1-1], [MQTT-4.7.1-2]). */
export function parseTopicFilter(text: string): TopicFilter {
  const reason = complaint(text, 'topic filter') ?? wildcardComplaint(text);
  if (reason !== undefined) throw new PushfleetError('filter_invalid', reason);
  return text as TopicFilter;
}

function wildcardComplaint(text: string): string | undefined {
  const levels = text.split('/');
  const last = levels.length - 1;
  for (const [index, level] of levels.entries()) {
    if (level.includes('#') && (level !== '#' || index !== last)) {
      return `"#" stands alone in the last level of a topic filter; ${quote(text)} has it elsewhere.`;
    }
    if (level.includes('+') && level !== '+') {
      return `"+" stands for one whole level; ${quote(text)} has it inside level ${quote(level)}.`;
    }
  }
  return undefined;
}

/** Whether the filter is a plain topic, so that it can be looked up by key. */
export function isExact(filter: TopicFilter): boolean {
  return !filter.includes('+') && !filter.endsWith('#');
}

/** Whether the first level belongs to the fleet: no filter that begins with a wildcard reaches it ([MQTT-4.7.2-1]). */
export function isReserved(topicOrFilter: Topic | TopicFilter): boolean {
  return topicOrFilter.charCodeAt(0) === 0x24;
}

/** The one matching rule of the fleet: MQTT's, on every protocol. */
export function matches(filter: TopicFilter, topic: Topic): boolean {
  if (isReserved(topic) && !isReserved(filter)) return false;
  const wanted = filter.split('/');
  const levels = topic.split('/');
  for (let i = 0; i < wanted.length; i++) {
    if (wanted[i] === '#') return true; // also the parent itself: "a/#" matches "a"
    if (i >= levels.length || (wanted[i] !== '+' && wanted[i] !== levels[i])) return false;
  }
  return wanted.length === levels.length;
}

/** Whether every topic that `filter` matches is matched by `grant`. The access rule: covered by one grant, never narrowed. */
export function covers(grant: TopicFilter, filter: TopicFilter): boolean {
  if (isReserved(filter) && !isReserved(grant)) return false;
  const outer = grant.split('/');
  const inner = filter.split('/');
  for (let i = 0; i < outer.length; i++) {
    if (outer[i] === '#') return true;
    if (i >= inner.length || inner[i] === '#') return false;
    if (outer[i] !== '+' && outer[i] !== inner[i]) return false;
  }
  return outer.length === inner.length;
}

/** Whether some topic matches both filters. */
export function overlaps(a: TopicFilter, b: TopicFilter): boolean {
  // A first level with "$" is matched by itself alone ([MQTT-4.7.2-1]), and it is no wildcard.
  if (isReserved(a) !== isReserved(b)) return false;
  const one = a.split('/');
  const other = b.split('/');
  for (let i = 0; i < Math.max(one.length, other.length); i++) {
    if (one[i] === '#' || other[i] === '#') return true; // also where the other ended: "a/#" matches "a"
    if (i >= one.length || i >= other.length) return false;
    if (one[i] !== '+' && other[i] !== '+' && one[i] !== other[i]) return false;
  }
  return true;
}
