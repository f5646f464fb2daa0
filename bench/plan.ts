import { CALLS, type CallName } from './calls';
import { ON_REDIS, SLOW_TO_TELL, VARIANTS, type VariantName, WAITING } from './variants';

export const ADAPTERS = ['express', 'fastify'] as const;
export type Adapter = (typeof ADAPTERS)[number];

/** One variant on one adapter, in a separate server process. */
export interface Route {
  readonly variant: VariantName;
  readonly adapter: Adapter;
}

/** One call without a server, in a separate process. */
export interface InProcess {
  readonly variant: CallName;
  readonly adapter: null;
}

/** A route that is measured over HTTP, or a call that is measured in process. */
export type Subject = Route | InProcess;

const SUBJECTS: readonly Subject[] = [
  ...ADAPTERS.flatMap((adapter) =>
    (Object.keys(VARIANTS) as VariantName[]).map((variant) => ({ variant, adapter })),
  ),
  ...(Object.keys(CALLS) as CallName[]).map((variant) => ({ variant, adapter: null })),
];

/**
 * Returns the subjects that a plan measures. Omits variants that need Redis if there is no Redis.
 */
export function subjectsOf({ quick }: Plan, hasRedis: boolean): readonly Subject[] {
  const left = [...(quick ? SLOW_TO_TELL : []), ...(hasRedis ? [] : ON_REDIS)];
  return SUBJECTS.filter(({ variant }) => !left.includes(variant as VariantName));
}

/** Numbers of rounds, requests and keys of a measurement. */
export interface Plan {
  readonly quick: boolean;
  /** Number of rounds. In each round, every subject has one turn. */
  readonly rounds: number;
  /** Number of measured requests per turn, for variants that are not in `WAITING`. */
  readonly requests: number;
  /** Number of measured requests per turn, for variants in `WAITING`. */
  readonly waitingRequests: number;
  /** Number of unmeasured turns of each subject before the first round. */
  readonly warmUpTurns: number;
  /**
   * Number of keys. Requests use the keys in rotation. Each turn starts with unmeasured requests
   * that use every key.
   */
  readonly keys: number;
  /** Number of requests that are in flight at the same time. */
  readonly concurrency: number;
}

const COMMON = { keys: 100, concurrency: 16 };

export const QUICK_PLAN: Plan = {
  ...COMMON,
  quick: true,
  rounds: 5,
  requests: 800,
  waitingRequests: 120,
  warmUpTurns: 1,
};
export const FULL_PLAN: Plan = {
  ...COMMON,
  quick: false,
  rounds: 15,
  requests: 5_000,
  waitingRequests: 1_500,
  warmUpTurns: 3,
};

/** Returns the number of measured requests or calls per turn of a subject. */
export function countOf(plan: Plan, { variant, adapter }: Subject): number {
  if (adapter === null) return Math.ceil(plan.requests * CALLS[variant].share);
  return WAITING.includes(variant) ? plan.waitingRequests : plan.requests;
}

/** Returns the name of a subject in tables and messages. */
export function nameOf({ variant, adapter }: Subject): string {
  return `${variant} ${adapter === null ? 'in process' : `on ${adapter}`}`;
}
