import type { KeyKind, PairPlan } from './pair';

/** How the guards are reached, and with which keys. */
export interface CompareSubject {
  readonly way: Way;
  readonly kind: KeyKind;
}

/** `guards`: the three guards are called in process. `HTTP`: whole requests to Fastify. */
export const WAYS = ['guards', 'HTTP'] as const;
export type Way = (typeof WAYS)[number];

/** The ratio of CPU time that a change may reach. */
export const MAX_RATIO = 1.02;

/** How much is measured. */
export interface ComparePlan {
  /** Fresh processes for each way. */
  readonly launches: number;
  readonly ways: Readonly<Record<Way, TurnPlan>>;
  /** Keys of each kind, used in turn. */
  readonly keys: number;
  /** Requests in flight at a time. */
  readonly concurrency: number;
}

interface TurnPlan extends PairPlan {
  /** Calls or requests of one turn. */
  readonly count: number;
}

/**
 * Short turns, because noise changes within milliseconds; several in a pair, so that each has its
 * share of garbage collection. Few pairs, because the launches of one revision differ by more. The
 * warm-up takes longer than V8 takes to compile what a request runs: after 4 pairs over HTTP, code
 * that had grown looked 3 % slower, and after 24 the difference was gone.
 */
const TURNS = {
  guards: { turns: 16, count: 256, warmUpPairs: 12, pairs: 20 },
  HTTP: { turns: 8, count: 160, warmUpPairs: 24, pairs: 8 },
};
const COMMON = { ways: TURNS, keys: 100, concurrency: 16 };

export const QUICK_COMPARE_PLAN: ComparePlan = { ...COMMON, launches: 8 };
export const FULL_COMPARE_PLAN: ComparePlan = { ...COMMON, launches: 24 };

/** As a subject is called in tables and messages. */
export function nameOf({ way, kind }: CompareSubject): string {
  return `${way}, ${kind}`;
}
