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

/** A route or a call that is measured. */
export type Subject = Route | InProcess;

const SUBJECTS: readonly Subject[] = [
  ...ADAPTERS.flatMap((adapter) =>
    (Object.keys(VARIANTS) as VariantName[]).map((variant) => ({ variant, adapter })),
  ),
  ...(Object.keys(CALLS) as CallName[]).map((variant) => ({ variant, adapter: null })),
];

/** Returns the subjects of a plan. */
export function subjectsOf({ quick }: Plan, hasRedis: boolean): readonly Subject[] {
  const left = [...(quick ? SLOW_TO_TELL : []), ...(hasRedis ? [] : ON_REDIS)];
  return SUBJECTS.filter(({ variant }) => !left.includes(variant as VariantName));
}

/** The size of a measurement. */
export interface Plan {
  readonly quick: boolean;
  /** Rounds. In each round, every subject has one turn. */
  readonly rounds: number;
  /** Measured requests per turn. */
  readonly requests: number;
  /** Measured requests per turn of a variant in `WAITING`. */
  readonly waitingRequests: number;
  /** Unmeasured turns for each subject before the first round. */
  readonly warmUpTurns: number;
  /**
   * Number of keys. Requests use the keys in turn. Each turn starts with unmeasured requests that
   * use every key.
   */
  readonly keys: number;
  /** Requests in flight at a time. */
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

/** Measured requests or calls per turn of a subject. */
export function countOf(plan: Plan, { variant, adapter }: Subject): number {
  if (adapter === null) return Math.ceil(plan.requests * CALLS[variant].share);
  return WAITING.includes(variant) ? plan.waitingRequests : plan.requests;
}

/** The name of a subject in tables and messages. */
export function nameOf({ variant, adapter }: Subject): string {
  return `${variant} ${adapter === null ? 'in process' : `on ${adapter}`}`;
}
