import { ADAPTERS, type Adapter, type Subject } from './plan';
import { type Estimate, estimateOf } from './statistics';
import type { Summary } from './summary';

/** Ratio of the CPU times of two subjects, over all rounds. */
export interface Ratio extends Estimate {
  readonly of: string;
  readonly over: string;
  /** Adapter of both subjects, or `null` if the subjects run in process. */
  readonly adapter: Adapter | null;
  /** Upper or lower bound for the median. */
  readonly wanted: Bound;
  /** Whether the median meets the bound. */
  readonly kept: boolean;
}

type Bound = { readonly atMost: number } | { readonly atLeast: number };

/**
 * One second of CPU time. This second divided by the CPU time of one call gives the calls per
 * second of one core.
 */
const A_SECOND = 'a second';
const A_SECOND_MICROS = 1_000_000;

interface Wanted {
  readonly of: Subject['variant'] | typeof A_SECOND;
  readonly over: Subject['variant'];
  readonly adapter: Adapter | null;
  readonly wanted: Bound;
}

const WANTED: readonly Wanted[] = [
  { of: 'ours', over: 'idle guard', adapter: 'express', wanted: { atMost: 1.05 } },
  { of: 'ours', over: 'idle guard', adapter: 'fastify', wanted: { atMost: 1.15 } },
  { of: 'ours, limit', over: 'bare', adapter: 'express', wanted: { atMost: 1.1 } },
  { of: 'ours, limit', over: 'bare', adapter: 'fastify', wanted: { atMost: 1.35 } },
  ...ADAPTERS.map((adapter) => ({
    of: 'ours, cold' as const,
    over: 'raw SELECT' as const,
    adapter,
    wanted: { atMost: 1.2 },
  })),
  { of: 'rails design', over: 'ours', adapter: 'express', wanted: { atLeast: 3.5 } },
  { of: 'rails design', over: 'ours', adapter: 'fastify', wanted: { atLeast: 12 } },
  { of: 'better-auth verify', over: 'verify()', adapter: null, wanted: { atLeast: 200 } },
  { of: A_SECOND, over: 'verify()', adapter: null, wanted: { atLeast: 500_000 } },
];

/**
 * Returns all ratios that have a bound. Each ratio is the median of the ratios of the rounds,
 * because turns of one round share the same noise.
 */
export function ratiosOf(summaries: readonly Summary[]): Ratio[] {
  return WANTED.map((wish) => {
    const over = turnsOf(summaries, wish.over, wish.adapter);
    const of =
      wish.of === A_SECOND ? over.map(() => A_SECOND_MICROS) : turnsOf(summaries, wish.of, wish.adapter);
    const rounds = of.map((cpu, round) => cpu / (over[round] ?? cpu));
    const estimate = estimateOf(rounds);
    return { ...wish, ...estimate, kept: keeps(estimate.median, wish.wanted) };
  });
}

function turnsOf(summaries: readonly Summary[], variant: string, adapter: Adapter | null): number[] {
  const found = summaries.find((summary) => summary.variant === variant && summary.adapter === adapter);
  if (!found) throw new Error(`${variant} was not measured`);
  return found.turns.map((turn) => turn.cpuMicrosPerRequest);
}

function keeps(value: number, bound: Bound): boolean {
  return 'atMost' in bound ? value <= bound.atMost : value >= bound.atLeast;
}
