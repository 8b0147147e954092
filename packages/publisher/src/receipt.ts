/** Says that the log holds a publication. */
export interface Receipt {
  /** The publication's id: the one given, or the one made up at the call. */
  readonly id: string;
  readonly topic: string;
  /** The place in the log right behind it, from which a subscriber can resume. */
  readonly cursor: string;
  /**
   * The log held this id of this source and topic before the first attempt; nothing was stored twice. A retry of the
   * publisher's own is no duplicate.
   */
  readonly duplicate: boolean;
}
