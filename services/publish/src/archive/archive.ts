import type { Policies } from '@pushfleet/runtime';
import { Deleter, type DeleterOptions } from './deleter.ts';
import { Explainer } from './explain.ts';
import { History } from './history.ts';
import { type ReadLimits, Reads } from './reads.ts';
import { TopicViews } from './topic-view.ts';

export interface ArchiveOptions extends ReadLimits, DeleterOptions {
  readonly policies: Pick<Policies, 'of'>;
  /** Most bytes of the publications of one page. */
  readonly pageBytes: number;
  /** Most publications that one search looks at. */
  readonly explainPublications: number;
}

/** What can be done with what is stored; both APIs stand on it. */
export interface Archive {
  readonly history: History;
  readonly deleter: Deleter;
  readonly topics: TopicViews;
  readonly explainer: Explainer;
  readonly reads: Reads;
}

export function createArchive(o: ArchiveOptions): Archive {
  const reads = new Reads(o);
  return {
    reads,
    history: new History({
      ...o,
      reads,
      historyOn: (namespace, topic) => o.policies.of(namespace, topic).history,
    }),
    deleter: new Deleter(o),
    topics: new TopicViews(o),
    explainer: new Explainer({ ...o, reads, publications: o.explainPublications }),
  };
}
