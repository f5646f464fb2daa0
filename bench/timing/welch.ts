import { percentile } from '../statistics';

/**
 * Shares of the fastest measurements that are kept. The machine causes slow measurements more often
 * than the code does.
 */
const CROPS = [0.999, 0.99, 0.95, 0.9, 0.75, 0.5] as const;

/** The t statistic of the fastest measurements, and the share of measurements that were kept. */
export interface CroppedT {
  readonly t: number;
  readonly share: number;
}

/**
 * Returns Welch's t of two samples, whose variances may differ. It is the difference of the means
 * in standard errors, positive if the mean of `a` is larger.
 * @throws Error if a sample has fewer than two values
 */
export function welchT(a: readonly number[], b: readonly number[]): number {
  const [ofA, ofB] = [momentsOf(a), momentsOf(b)];
  const difference = ofA.mean - ofB.mean;
  return difference === 0 ? 0 : difference / Math.sqrt(ofA.variance / a.length + ofB.variance / b.length);
}

/**
 * Returns the t with the largest absolute value over all shares in CROPS. For each share, t is
 * computed from the values up to that percentile of both samples together.
 */
export function largestCroppedT(a: readonly number[], b: readonly number[]): CroppedT {
  const together = [...a, ...b].toSorted((x, y) => x - y);
  const cropped = CROPS.map((share) => {
    const limit = percentile(together, share);
    const kept = (values: readonly number[]) => values.filter((value) => value <= limit);
    return { t: welchT(kept(a), kept(b)), share };
  });
  return cropped.reduce((most, each) => (Math.abs(each.t) > Math.abs(most.t) ? each : most));
}

function momentsOf(values: readonly number[]): { readonly mean: number; readonly variance: number } {
  if (values.length < 2) throw new Error('There is no variance of less than two values');
  const mean = sum(values, (value) => value) / values.length;
  return { mean, variance: sum(values, (value) => (value - mean) ** 2) / (values.length - 1) };
}

function sum(values: readonly number[], of: (value: number) => number): number {
  return values.reduce((total, value) => total + of(value), 0);
}
