import { type Estimate, estimateOf, percentile } from '../statistics';
import { type Block, KINDS, type Kind } from './kinds';
import { type CroppedT, largestCroppedT, welchT } from './welch';

/**
 * Minimum t that proves a difference, as in dudect (Reparaz et al. 2017), and the minimum number of
 * measurements to deny a difference.
 */
const MAX_T = 4.5;
const ENOUGH = 1_000_000;

/**
 * Maximum difference between two medians that does not count as a leak, in microseconds. A caller
 * cannot notice a smaller difference.
 */
const MAX_MICROS = 1;

/** Verdicts of a comparison. Only `TOLD APART` means that the two kinds of keys differ. */
export type Verdict = 'no difference' | 'below 1 µs' | 'too few to say' | 'TOLD APART';

/** The comparison of two kinds of keys. Times are in microseconds. */
export interface Comparison {
  readonly kinds: readonly [Kind, Kind];
  /** Number of measurements of both kinds together. */
  readonly measurements: number;
  readonly medians: readonly [number, number];
  /** Median of the first kind minus the median of the second kind. */
  readonly difference: Estimate;
  readonly t: number;
  readonly cropped: CroppedT;
  readonly verdict: Verdict;
}

const PAIRS = KINDS.flatMap((first, at) => KINDS.slice(at + 1).map((second) => [first, second] as const));

/** Compares each pair of kinds of keys. */
export function compare(blocks: readonly Block[]): Comparison[] {
  const all = joined(blocks);
  return PAIRS.map(([first, second]) => {
    const [a, b] = [all[first], all[second]];
    const measured = {
      measurements: a.length + b.length,
      difference: medianDifference(
        blocks.map((block) => block[first]),
        blocks.map((block) => block[second]),
      ),
      t: welchT(a, b),
      cropped: largestCroppedT(a, b),
    };
    const medians = [percentile(a, 0.5), percentile(b, 0.5)] as const;
    return { kinds: [first, second], medians, ...measured, verdict: verdictOn(measured) };
  });
}

/**
 * Returns the difference between the medians of two samples. Each block gives one difference,
 * because both samples of a block share the same noise. The result is the median of these
 * differences, with its interval.
 */
export function medianDifference(
  a: readonly (readonly number[])[],
  b: readonly (readonly number[])[],
): Estimate {
  return estimateOf(a.map((block, i) => percentile(block, 0.5) - percentile(b[i] ?? [], 0.5)));
}

/**
 * Returns the verdict on a comparison. A small t proves nothing without many measurements. A small
 * difference of medians with a narrow interval suffices with any number of measurements.
 */
export function verdictOn({
  measurements,
  difference,
  t,
  cropped,
}: Pick<Comparison, 'measurements' | 'difference' | 't' | 'cropped'>): Verdict {
  const largest = Math.max(Math.abs(t), Math.abs(cropped.t));
  if (difference.low > -MAX_MICROS && difference.high < MAX_MICROS) return 'below 1 µs';
  if (largest >= MAX_T) return 'TOLD APART';
  return measurements >= ENOUGH ? 'no difference' : 'too few to say';
}

function joined(blocks: readonly Block[]): Block {
  const of = (kind: Kind) => blocks.flatMap((block) => block[kind]);
  return Object.fromEntries(KINDS.map((kind) => [kind, of(kind)])) as Record<Kind, number[]>;
}
