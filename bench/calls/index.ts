import { betterAuthVerify } from './better-auth';
import type { Call } from './call';
import { ourVerify } from './ours';

/** Calls that are measured in process, without an HTTP server. */
export const CALLS = {
  'verify()': { prepare: ourVerify, share: 100 },
  'better-auth verify': { prepare: betterAuthVerify, share: 0.25 },
} satisfies Record<string, CallVariant>;

interface CallVariant {
  prepare(databaseUrl: string, keys: readonly string[]): Promise<Call>;
  /** Number of calls per turn, as a multiple of `Plan.requests`. */
  readonly share: number;
}

export type CallName = keyof typeof CALLS;
