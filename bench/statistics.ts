/** The median and the range of several measurements. */
export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

/** @throws Error if `values` is empty */
export function spreadOf(values: readonly number[]): Spread {
  return {
    median: percentile(values, 0.5),
    min: percentile(values, 0),
    max: percentile(values, 1),
  };
}

/**
 * Returns a percentile of the values. Interpolates linearly between two values.
 * @param share from 0 to 1
 * @throws Error if `values` is empty
 */
export function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  const rank = share * (sorted.length - 1);
  const below = sorted[Math.floor(rank)];
  const above = sorted[Math.ceil(rank)];
  if (below === undefined || above === undefined) throw new Error('There is no percentile of nothing');
  return below + (above - below) * (rank - Math.floor(rank));
}

/** A median with its interval. The interval contains the true median with a confidence of 95 %. */
export interface Estimate {
  readonly median: number;
  readonly low: number;
  readonly high: number;
}

/**
 * Returns the median and a distribution-free interval from order statistics. With fewer than six
 * values, the interval is the range of all values, and its confidence is below 95 %.
 * @throws Error if `values` is empty
 */
export function estimateOf(values: readonly number[]): Estimate {
  const sorted = values.toSorted((a, b) => a - b);
  const rank = lowestRank(sorted.length);
  const [low, high] = [sorted[rank], sorted[sorted.length - 1 - rank]];
  if (low === undefined || high === undefined) throw new Error('There is no median of nothing');
  return { median: percentile(sorted, 0.5), low, high };
}

/**
 * Returns how many of `n` sorted values the interval omits at each end. Each tail of Binomial(n,
 * 1/2) must stay below 2.5 %.
 */
function lowestRank(n: number): number {
  let term = 0.5 ** n;
  let tail = term;
  let rank = 0;
  while (tail + (term * (n - rank)) / (rank + 1) < 0.025) {
    term *= (n - rank) / (rank + 1);
    tail += term;
    rank += 1;
  }
  return rank;
}
