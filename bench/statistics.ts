/** The middle of several measurements, and how far they lie apart. */
export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

/** @throws Error where there is no value */
export function spreadOf(values: readonly number[]): Spread {
  return {
    median: percentile(values, 0.5),
    min: percentile(values, 0),
    max: percentile(values, 1),
  };
}

/**
 * The value that a share of the others does not exceed, between two values by linear interpolation.
 * @param share from 0 to 1
 * @throws Error where there is no value
 */
export function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  const rank = share * (sorted.length - 1);
  const below = sorted[Math.floor(rank)];
  const above = sorted[Math.ceil(rank)];
  if (below === undefined || above === undefined) throw new Error('There is no percentile of nothing');
  return below + (above - below) * (rank - Math.floor(rank));
}

/** A median, and the interval in which that of all possible rounds lies with a confidence of 95 %. */
export interface Estimate {
  readonly median: number;
  readonly low: number;
  readonly high: number;
}

/**
 * The median with its distribution-free interval from order statistics: with fewer than six values it is their whole spread,
 * whose confidence is lower.
 * @throws Error where there is no value
 */
export function estimateOf(values: readonly number[]): Estimate {
  const sorted = values.toSorted((a, b) => a - b);
  const rank = lowestRank(sorted.length);
  const [low, high] = [sorted[rank], sorted[sorted.length - 1 - rank]];
  if (low === undefined || high === undefined) throw new Error('There is no median of nothing');
  return { median: percentile(sorted, 0.5), low, high };
}

/** How many values may be left out at each end, so that the tails of Binomial(n, 1/2) stay below 2.5 % each. */
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
