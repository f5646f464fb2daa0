import { CALLS, type CallName } from './calls';
import { ON_REDIS, SLOW_TO_TELL, VARIANTS, type VariantName, WAITING } from './variants';

export const ADAPTERS = ['express', 'fastify'] as const;
export type Adapter = (typeof ADAPTERS)[number];

/** One variant on one adapter, in a server process of its own. */
export interface Route {
  readonly variant: VariantName;
  readonly adapter: Adapter;
}

/** One call without a server, in a process of its own. */
export interface InProcess {
  readonly variant: CallName;
  readonly adapter: null;
}

/** What is measured together with others. */
export type Subject = Route | InProcess;

const SUBJECTS: readonly Subject[] = [
  ...ADAPTERS.flatMap((adapter) =>
    (Object.keys(VARIANTS) as VariantName[]).map((variant) => ({ variant, adapter })),
  ),
  ...(Object.keys(CALLS) as CallName[]).map((variant) => ({ variant, adapter: null })),
];

/** What a plan measures. */
export function subjectsOf({ quick }: Plan, hasRedis: boolean): readonly Subject[] {
  const left = [...(quick ? SLOW_TO_TELL : []), ...(hasRedis ? [] : ON_REDIS)];
  return SUBJECTS.filter(({ variant }) => !left.includes(variant as VariantName));
}

/** How much is measured. */
export interface Plan {
  readonly quick: boolean;
  /** Rounds in which every subject has its turn. */
  readonly rounds: number;
  /** Measured requests of one turn. */
  readonly requests: number;
  /** The same, of a variant that waits for PostgreSQL at each request. */
  readonly waitingRequests: number;
  /** Turns of `requests` to each server before the first round, not measured. */
  readonly warmUpTurns: number;
  /** Keys, used in turn; each is used once more, not measured, at the start of a turn. */
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

/** Measured requests, or calls, of one turn of a subject. */
export function countOf(plan: Plan, { variant, adapter }: Subject): number {
  if (adapter === null) return Math.ceil(plan.requests * CALLS[variant].share);
  return WAITING.includes(variant) ? plan.waitingRequests : plan.requests;
}

/** As it is called in tables and messages. */
export function nameOf({ variant, adapter }: Subject): string {
  return `${variant} ${adapter === null ? 'in process' : `on ${adapter}`}`;
}
