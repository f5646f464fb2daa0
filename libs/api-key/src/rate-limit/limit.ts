import type { CountedLimits } from '../transport/authenticated-request';
import type { Bucket } from './storages/storage';

/** A limit on which a request counts, with its bucket. */
export interface Limit extends Bucket {
  /** Name of the limit in the header `RateLimit-Policy`. */
  readonly item: string;
  /** Complete item of the limit in the header `RateLimit-Policy`. */
  readonly policyItem: string;
}

/** The limits on which a request counts. Each limit has its own bucket. */
export interface RequestLimits {
  readonly rates: readonly Limit[];
  readonly quotas: readonly Limit[];
  readonly cost: number;
}

/**
 * Returns the limits on which a request must still count, grouped by cost. A handler may pass a
 * request on to another route, with another cost and other limits. Each limit then counts the
 * highest cost. Groups with quotas are last, because a hit that a rate limit refuses must not use
 * up quota.
 */
export function dueOf(limits: RequestLimits, counted: readonly CountedLimits[]): readonly RequestLimits[] {
  if (counted.length === 0) return [limits];
  const [rates, quotas] = [restOf(limits, counted, 'rates'), restOf(limits, counted, 'quotas')];
  const costs = new Set([...rates, ...quotas].map(({ cost }) => cost).filter((cost) => cost > 0));
  return [...costs]
    .map((cost) => ({ rates: costing(rates, cost), quotas: costing(quotas, cost), cost }))
    .sort((a, b) => Math.sign(a.quotas.length) - Math.sign(b.quotas.length));
}

interface Rest {
  readonly limit: Limit;
  readonly cost: number;
}

function restOf(
  limits: RequestLimits,
  counted: readonly CountedLimits[],
  kind: 'rates' | 'quotas',
): readonly Rest[] {
  return limits[kind].map((limit) => {
    const by = counted.filter((other) => other[kind].some(({ key }) => key === limit.key));
    return { limit, cost: by.reduce((rest, { cost }) => rest - cost, limits.cost) };
  });
}

function costing(rests: readonly Rest[], cost: number): readonly Limit[] {
  return rests.filter((rest) => rest.cost === cost).map(({ limit }) => limit);
}
