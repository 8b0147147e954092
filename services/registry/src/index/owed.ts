import { type Place, parseCursor } from '@pushfleet/core';

/**
 * Whether a publication lies behind the place where a subscription started. Positions in the publication's own shard
 * decide; where one is missing, or the log has other shards by now, the times do. Two things of the same millisecond
 * are then taken for owed: twice is better than not at all.
 */
function isOwed(publication: Place, start: Place): boolean {
  if (publication.generation === start.generation) {
    const shard = publication.positions.findIndex((position) => position !== undefined);
    const [position, begun] = [publication.positions[shard], start.positions[shard]];
    if (position !== undefined && begun !== undefined) return begun < position;
  }
  return start.time <= publication.time;
}

/** Judges many subscriptions by one publication. @throws PushfleetError `cursor_invalid` */
export function owedBy(cursor: string): (start: string) => boolean {
  const publication = parseCursor(cursor);
  let known = '';
  let owed = false;
  return (start) => {
    // Those that were made while the log rested started at the same place.
    if (start !== known) owed = isOwed(publication, parseCursor(start));
    known = start;
    return owed;
  };
}
