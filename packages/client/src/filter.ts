import { PushfleetError } from './errors.ts';

const mostBytes = 1_024;

/**
 * Whether a topic filter matches a topic: the rule of MQTT 5.0, section 4.7. `+` is one level, `#` this level and all below,
 * and a first level with `$` is matched by itself alone ([MQTT-4.7.2-1]).
 */
export function matches(filter: string, topic: string): boolean {
  if (topic.startsWith('$') && !filter.startsWith('$')) return false;
  const wanted = filter.split('/');
  const levels = topic.split('/');
  for (let i = 0; i < wanted.length; i++) {
    if (wanted[i] === '#') return true; // also the parent itself: "a/#" matches "a"
    if (i >= levels.length || (wanted[i] !== '+' && wanted[i] !== levels[i])) return false;
  }
  return wanted.length === levels.length;
}

/** @throws PushfleetError `filter_invalid` ([MQTT-4.7.1-1], [MQTT-4.7.1-2]) */
export function requireFilter(filter: string): void {
  const levels = filter.split('/');
  const last = levels.length - 1;
  const legal = levels.every(
    (level, i) => level === '+' || (level === '#' ? i === last : !/[+#]/.test(level)),
  );
  if (!legal || !isName(filter)) throw new PushfleetError('filter_invalid', `Not a topic filter: ${filter}`);
}

/** @throws PushfleetError `topic_invalid` */
export function requireTopic(topic: string): void {
  if (/[+#]/.test(topic) || !isName(topic))
    throw new PushfleetError('topic_invalid', `Not a topic: ${topic}`);
}

const isName = (text: string): boolean =>
  text !== '' && !text.includes('\0') && new TextEncoder().encode(text).length <= mostBytes;
