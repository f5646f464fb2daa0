import { type Estimate, estimateOf, percentile } from '../statistics';
import { type Block, KINDS, type Kind } from './kinds';
import { type CroppedT, largestCroppedT, welchT } from './welch';

/** The threshold of dudect (Reparaz et al. 2017), and how many measurements it is asked of. */
const MAX_T = 4.5;
const ENOUGH = 1_000_000;

/** So far apart, two medians are the same to a caller. */
const MAX_MICROS = 1;

/** Why the times of two kinds pass, or that they do not. */
export type Verdict = 'no difference' | 'below 1 µs' | 'too few to say' | 'TOLD APART';

/** The times of two kinds of keys beside each other, in microseconds. */
export interface Comparison {
  readonly kinds: readonly [Kind, Kind];
  /** Of both kinds together. */
  readonly measurements: number;
  readonly medians: readonly [number, number];
  /** The median of the first less that of the second. */
  readonly difference: Estimate;
  readonly t: number;
  readonly cropped: CroppedT;
  readonly verdict: Verdict;
}

const PAIRS = KINDS.flatMap((first, at) => KINDS.slice(at + 1).map((second) => [first, second] as const));

/** Each kind beside each other one. */
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
 * How far the medians of two samples lie apart, taken within each block, for both share its noise; the interval is that of the median
 * of the blocks.
 */
export function medianDifference(
  a: readonly (readonly number[])[],
  b: readonly (readonly number[])[],
): Estimate {
  return estimateOf(a.map((block, i) => percentile(block, 0.5) - percentile(b[i] ?? [], 0.5)));
}

/** That t is small says something only of many measurements; that the medians lie close together, of any that make the interval narrow. */
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
