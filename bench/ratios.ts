import { ADAPTERS, type Adapter, type Subject } from './plan';
import { type Estimate, estimateOf } from './statistics';
import type { Summary } from './summary';

/** CPU time of one subject over that of another, round by round. */
export interface Ratio extends Estimate {
  readonly of: string;
  readonly over: string;
  /** Null: in process. */
  readonly adapter: Adapter | null;
  /** What we want it to be at most, or at least. */
  readonly wanted: Bound;
  /** Whether the median keeps the bound. */
  readonly kept: boolean;
}

type Bound = { readonly atMost: number } | { readonly atLeast: number };

/** Over the CPU time of a call, it is how many of them a core does in a second. */
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

/** The ratios that the library is held to, each the median of the ratios of the rounds: both turns of a round share its noise. */
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
