// MQTT 5 section 1.5.4: code points that text SHOULD NOT hold, and for which a receiver MAY refuse it.
const disallowed = /[\p{Cc}\p{Noncharacter_Code_Point}]/u;

/** Whether text holds control characters or non-characters, which would go on into logs and headers of others. */
export const hasDisallowed = (text: string): boolean => disallowed.test(text);

const misplacedHash = /[^/]#|#./s;
const misplacedPlus = /[^/]\+|\+[^/]/;

/** The rule of section 4.7 that a topic filter breaks. */
export function filterFault(filter: string): 'name_empty' | 'filter_hash' | 'filter_plus' | undefined {
  if (filter === '') return 'name_empty';
  if (misplacedHash.test(filter)) return 'filter_hash';
  if (misplacedPlus.test(filter)) return 'filter_plus';
  return undefined;
}

/** A topic filter as SUBSCRIBE and UNSUBSCRIBE name it; both members together tell one from another. */
export interface FilterName {
  /** The ShareName of a shared subscription (section 4.8.2). */
  readonly share: string | undefined;
  /** What topics are matched with: without `$share/` and its name. */
  readonly filter: string;
}

const sharePrefix = '$share/';
const shared = /^\$share\/([^/+#]+)\/(.+)$/s;

/**
 * Splits off the name of a shared subscription. MQTT 3.1.1 has none, but lets a server give topics with "$" a meaning
 * of its own (section 4.7.2), and its clients know this one.
 *
 * @returns undefined where `$share/` is not followed by a name and a filter ([MQTT-4.8.2-1], [MQTT-4.8.2-2])
 */
export function splitShare(text: string): FilterName | undefined {
  if (!text.startsWith(sharePrefix)) return { share: undefined, filter: text };
  const parts = shared.exec(text);
  return parts === null ? undefined : { share: parts[1] as string, filter: parts[2] as string };
}
