import type { VariantName } from './variants';

export const ADAPTERS = ['express', 'fastify'] as const;
export type Adapter = (typeof ADAPTERS)[number];

/** What is measured together: one variant on one adapter, in a server process of its own. */
export interface Subject {
  readonly variant: VariantName;
  readonly adapter: Adapter;
}

/** How much is measured. */
export interface Plan {
  readonly quick: boolean;
  /** Rounds in which every subject has its turn. */
  readonly rounds: number;
  /** Measured requests of one turn. */
  readonly requests: number;
  /** Requests to each server before the first round, not measured. */
  readonly warmUpRequests: number;
  /** Keys, used in turn; each is used once more, not measured, at the start of a turn. */
  readonly keys: number;
  /** Requests in flight at a time. */
  readonly concurrency: number;
}

const COMMON = { keys: 100, concurrency: 16 };

export const QUICK_PLAN: Plan = { ...COMMON, quick: true, rounds: 7, requests: 1_500, warmUpRequests: 3_500 };
export const FULL_PLAN: Plan = {
  ...COMMON,
  quick: false,
  rounds: 15,
  requests: 10_000,
  warmUpRequests: 20_000,
};
