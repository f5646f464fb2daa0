import { type Estimate, estimateOf, percentile } from '../statistics';
import type { Allocations } from './guarded-calls';
import type { Both, Pair } from './pair';

/** New over old, and the median of each, in CPU microseconds. */
export interface RevisionRatio extends Estimate {
  readonly micros: Pair;
}

/**
 * The median ratio of the launches, each the median ratio of its pairs. A launch is a process of
 * its own. Its pairs share what V8 compiled and where it put things, so they are not independent;
 * launches are, and the interval is taken over launches.
 * @throws Error if there is no launch, or one without a pair
 */
export function ratioOf(launches: readonly (readonly Pair[])[]): RevisionRatio {
  const ratios = launches.map((pairs) => median(pairs.map((pair) => pair.new / pair.old)));
  const pairs = launches.flat();
  const micros = { old: median(pairs.map((pair) => pair.old)), new: median(pairs.map((pair) => pair.new)) };
  return { ...estimateOf(ratios), micros };
}

/** The medians of the launches; null if none measured it. */
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
