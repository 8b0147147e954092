import { type Namespace, parseNamespace } from '@pushfleet/core';

/** Whose bytes a bucket holds, and when they go. */
export interface Place {
  readonly namespace: Namespace;
  /** Unix time in milliseconds, whole seconds. */
  readonly ends: number;
  readonly instance: string;
}

/** The bytes of what one instance stored for a namespace and that goes at about one time. */
export interface Bucket extends Place {
  readonly key: string;
  bytes: number;
}

/** Parts of its life by which a publication may be counted too long, and so how many buckets there are at a time. */
const precision = 16;

/**
 * The end of the bucket for what lives `lifeMs` from now: never before it goes, and at most a sixteenth of its life
 * (or a second) after.
 */
export function bucketEnd(now: number, lifeMs: number): number {
  const lifeSeconds = lifeMs / 1_000;
  const width = 1_000 * 2 ** Math.max(0, Math.floor(Math.log2(lifeSeconds / precision)));
  return Math.ceil((now + lifeMs) / width) * width;
}

const keyOf = ({ namespace, ends, instance }: Place): string => `${namespace}/${ends / 1_000}/${instance}`;

/** What a key of the ledger says; undefined where it is none of ours. */
export function parseKey(key: string): Place | undefined {
  const [name = '', seconds = '', instance = '', ...more] = key.split('/');
  if (!/^\d{1,12}$/.test(seconds) || instance === '' || more.length > 0) return undefined;
  try {
    return { namespace: parseNamespace(name), ends: Number(seconds) * 1_000, instance };
  } catch {
    return undefined;
  }
}

/** Bytes by namespace, with the time at which they go. */
export class Buckets {
  readonly #byKey = new Map<string, Bucket>();
  /** To find what has ended without looking through all. */
  readonly #byEnd = new Map<number, Set<Bucket>>();
  readonly #sums = new Map<Namespace, number>();

  sum(namespace: Namespace): number {
    return this.#sums.get(namespace) ?? 0;
  }

  /** Those that hold something. */
  namespaces(): Iterable<Namespace> {
    return this.#sums.keys();
  }

  add(place: Place, bytes: number): Bucket {
    const bucket = this.#at(place);
    this.#change(bucket, bucket.bytes + bytes);
    return bucket;
  }

  set(place: Place, bytes: number): void {
    const bucket = this.#at(place);
    this.#change(bucket, bytes);
    if (bytes === 0) this.#remove(bucket);
  }

  /** Lets go of what has ended by `now`. */
  forget(now: number): void {
    for (const [ends, buckets] of this.#byEnd) {
      if (ends > now) continue;
      for (const bucket of buckets) {
        this.#change(bucket, 0);
        this.#remove(bucket);
      }
    }
  }

  #at(place: Place): Bucket {
    const key = keyOf(place);
    let bucket = this.#byKey.get(key);
    if (bucket === undefined) {
      bucket = { ...place, key, bytes: 0 };
      this.#byKey.set(key, bucket);
      const others = this.#byEnd.get(place.ends) ?? new Set();
      this.#byEnd.set(place.ends, others.add(bucket));
    }
    return bucket;
  }

  #change(bucket: Bucket, bytes: number): void {
    const sum = this.sum(bucket.namespace) + bytes - bucket.bytes;
    bucket.bytes = bytes;
    if (sum > 0) this.#sums.set(bucket.namespace, sum);
    else this.#sums.delete(bucket.namespace);
  }

  #remove(bucket: Bucket): void {
    this.#byKey.delete(bucket.key);
    const others = this.#byEnd.get(bucket.ends);
    others?.delete(bucket);
    if (others?.size === 0) this.#byEnd.delete(bucket.ends);
  }
}
