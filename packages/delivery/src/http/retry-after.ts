import { longestWishMs } from '../retry.ts';

/**
 * The wait that `Retry-After` asks for (RFC 9110 section 10.2.3: seconds, or an HTTP date), in milliseconds, 24 hours
 * at most; undefined where the header is absent or malformed. A time that is past asks for no wait.
 *
 * @param now Unix time in milliseconds
 */
export function retryAfterMs(value: string | undefined, now: number): number | undefined {
  const text = value?.trim() ?? '';
  const ms = /^\d+$/.test(text) ? Number(text) * 1_000 : dateOf(text, now) - now;
  return Number.isNaN(ms) ? undefined : Math.min(Math.max(ms, 0), longestWishMs);
}

const day = '(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)';
const month = '(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)';
const time = '\\d{2}:\\d{2}:\\d{2}';
// RFC 9110 section 5.6.7: IMF-fixdate, and the two obsolete forms that a recipient must accept.
const fixed = new RegExp(`^${day}, \\d{2} ${month} \\d{4} ${time} GMT$`);
const rfc850 = new RegExp(`^[A-Z][a-z]+day, (\\d{2})-(${month})-(\\d{2}) (${time}) GMT$`);
const asctime = new RegExp(`^${day} ${month} [ \\d]\\d ${time} \\d{4}$`);

function dateOf(text: string, now: number): number {
  if (fixed.test(text)) return Date.parse(text);
  if (asctime.test(text)) return Date.parse(`${text} GMT`);
  const [, date, name, year, at] = rfc850.exec(text) ?? [];
  if (year === undefined) return Number.NaN;
  // Two digits of a year that would be more than 50 years ahead mean the century before.
  const century = Math.floor(new Date(now).getUTCFullYear() / 100) * 100;
  const full = century + Number(year);
  const ahead = full > new Date(now).getUTCFullYear() + 50;
  return Date.parse(`${date} ${name} ${ahead ? full - 100 : full} ${at} GMT`);
}
