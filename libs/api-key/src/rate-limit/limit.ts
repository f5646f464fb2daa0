import type { CountedLimits } from '../transport/authenticated-request';
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

/**
 * The limits that have not counted a request yet; from now on they have. A handler may pass a
 * request on to another route, which has limits of its own.
 */
export function takeUncounted(
  limits: RequestLimits,
  request: { counted: CountedLimits | null },
): RequestLimits {
  const { counted } = request;
  if (counted === null) {
    request.counted = limits;
    return limits;
  }
  const rates = without(limits.rates, counted.rates);
  const quotas = without(limits.quotas, counted.quotas);
  request.counted = { rates: [...counted.rates, ...rates], quotas: [...counted.quotas, ...quotas] };
  return { rates, quotas, cost: limits.cost };
}

function without(limits: readonly Limit[], counted: CountedLimits['rates']): readonly Limit[] {
  return limits.filter(({ key }) => !counted.some((other) => other.key === key));
}
