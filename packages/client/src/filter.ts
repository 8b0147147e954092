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
