import { type Estimate, estimateOf, percentile } from '../statistics';
import type { Allocations } from './guarded-calls';
import type { Both, Pair } from './pair';

/**
 * Ratio of the new CPU time to the old CPU time, and the median CPU microseconds of each revision.
 */
export interface RevisionRatio extends Estimate {
  readonly micros: Pair;
}

/**
 * Returns the median of the ratios of all launches. The ratio of a launch is the median ratio of
 * its pairs. The confidence interval is computed from the launches, because launches are
 * independent processes. Pairs of one launch are not independent, because they share compiled code
 * and memory layout.
 * @throws Error if there is no launch, or if a launch has no pair
 */
export function ratioOf(launches: readonly (readonly Pair[])[]): RevisionRatio {
  const ratios = launches.map((pairs) => median(pairs.map((pair) => pair.new / pair.old)));
  const pairs = launches.flat();
  const micros = { old: median(pairs.map((pair) => pair.old)), new: median(pairs.map((pair) => pair.new)) };
  return { ...estimateOf(ratios), micros };
}

/**
 * Returns the median allocations over all launches, or `null` if no launch measured allocations.
 */
export function medianAllocations(launches: readonly Both<Allocations>[]): Both<Allocations> | null {
  if (launches.length === 0) return null;
  const of = (side: keyof Pair) => ({
    bytes: median(launches.map((launch) => launch[side].bytes)),
    promises: median(launches.map((launch) => launch[side].promises)),
  });
  return { old: of('old'), new: of('new') };
}

function median(values: readonly number[]): number {
  return percentile(values, 0.5);
}
