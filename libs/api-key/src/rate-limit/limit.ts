import type { Bucket } from './storages/storage';

/** One limit that a request counts on, with its bucket. */
export interface Limit extends Bucket {
  /** The name of the limit in `RateLimit-Policy`. */
  readonly item: string;
  /** The complete item of the limit in `RateLimit-Policy`. */
  readonly policyItem: string;
}

/** The limits that a request counts on. Each limit has its own bucket. */
export interface RequestLimits {
  readonly rates: readonly Limit[];
  readonly quotas: readonly Limit[];
  readonly cost: number;
}
