import type { KeyKind, PairPlan } from './pair';

/** A way to call the guards, and a kind of key. */
export interface CompareSubject {
  readonly way: Way;
  readonly kind: KeyKind;
}

/** `guards`: the three guards are called in process. `HTTP`: whole requests to Fastify. */
export const WAYS = ['guards', 'HTTP'] as const;
export type Way = (typeof WAYS)[number];

/** The largest ratio of CPU time that a change may cause. */
export const MAX_RATIO = 1.02;

/** The size of a comparison. */
export interface ComparePlan {
  /** Number of launches for each way. Each launch is a new process. */
  readonly launches: number;
  readonly ways: Readonly<Record<Way, TurnPlan>>;
  /** Number of keys of each kind. Calls use the keys in turn. */
  readonly keys: number;
  /** Requests in flight at a time. */
  readonly concurrency: number;
}

interface TurnPlan extends PairPlan {
  /** Calls or requests per turn. */
  readonly count: number;
}

/**
 * Turns are short because noise changes within milliseconds. A pair has several turns, so that each
 * pair contains some garbage collection. A launch has few pairs because the launches of one
 * revision differ more than the pairs. The warm-up takes longer than V8 takes to compile the code
 * of a request. After 4 warm-up pairs over HTTP, a longer function looked 3 % slower. After 24
 * pairs, the difference was gone.
 */
const TURNS = {
  guards: { turns: 16, count: 256, warmUpPairs: 12, pairs: 20 },
  HTTP: { turns: 8, count: 160, warmUpPairs: 24, pairs: 8 },
};
const COMMON = { ways: TURNS, keys: 100, concurrency: 16 };

export const QUICK_COMPARE_PLAN: ComparePlan = { ...COMMON, launches: 8 };
export const FULL_COMPARE_PLAN: ComparePlan = { ...COMMON, launches: 24 };

/** The name of a subject in tables and messages. */
export function nameOf({ way, kind }: CompareSubject): string {
  return `${way}, ${kind}`;
}
