import type { KeyKind, PairPlan } from './pair';

/** A subject of the comparison: a way to call the guards, and a kind of key. */
export interface CompareSubject {
  readonly way: Way;
  readonly kind: KeyKind;
}

/**
 * Ways to call the guards. `guards` calls the three guards in process. `HTTP` sends whole requests
 * to Fastify.
 */
export const WAYS = ['guards', 'HTTP'] as const;
export type Way = (typeof WAYS)[number];

/** Maximum ratio of the CPU time of new code to the CPU time of old code. */
export const MAX_RATIO = 1.02;

/** Number of launches, turns, keys and requests of a comparison. */
export interface ComparePlan {
  /** Number of launches for each way to call the guards. Each launch is a new process. */
  readonly launches: number;
  readonly ways: Readonly<Record<Way, TurnPlan>>;
  /** Number of keys of each kind. Calls use the keys in rotation. */
  readonly keys: number;
  /** Number of requests that are in flight at the same time. */
  readonly concurrency: number;
}

interface TurnPlan extends PairPlan {
  /** Number of calls or requests per turn. */
  readonly count: number;
}

/**
 * Sizes of turns, pairs and launches. Turns are short because noise changes within milliseconds. A
 * pair has several turns, so that each pair contains some garbage collection. A launch has few
 * pairs because launches of one revision differ more than pairs of one launch. The warm-up takes
 * longer than V8 takes to compile the code of a request. After 4 warm-up pairs over HTTP, a longer
 * function looked 3 % slower. After 24 warm-up pairs, this difference was gone.
 */
const TURNS = {
  guards: { turns: 16, count: 256, warmUpPairs: 12, pairs: 20 },
  HTTP: { turns: 8, count: 160, warmUpPairs: 24, pairs: 8 },
};
const COMMON = { ways: TURNS, keys: 100, concurrency: 16 };

export const QUICK_COMPARE_PLAN: ComparePlan = { ...COMMON, launches: 8 };
export const FULL_COMPARE_PLAN: ComparePlan = { ...COMMON, launches: 24 };

/** Returns the name of a subject in tables and messages. */
export function nameOf({ way, kind }: CompareSubject): string {
  return `${way}, ${kind}`;
}
