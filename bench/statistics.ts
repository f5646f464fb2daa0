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
