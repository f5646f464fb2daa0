import type { Bucket } from './storages/storage';

/** One limit that a request counts on, in its bucket. */
export interface Limit extends Bucket {
  /** Its name, as `RateLimit-Policy` has it. */
  readonly item: string;
  /** What `RateLimit-Policy` says of it. */
  readonly policyItem: string;
}

/** The limits that a request counts on, each in a bucket of its own. */
export interface RequestLimits {
  readonly rates: readonly Limit[];
  readonly quotas: readonly Limit[];
  readonly cost: number;
}
