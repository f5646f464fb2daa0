import { betterAuthVerify } from './better-auth';
import type { Call } from './call';
import { ourVerify } from './ours';

/** The calls that are measured in process, without a server. */
export const CALLS = {
  'verify()': { prepare: ourVerify, share: 100 },
  'better-auth verify': { prepare: betterAuthVerify, share: 0.25 },
} satisfies Record<string, CallVariant>;

interface CallVariant {
  prepare(databaseUrl: string, keys: readonly string[]): Promise<Call>;
  /** Calls per turn, as a multiple of the plan's `requests`. */
  readonly share: number;
}

export type CallName = keyof typeof CALLS;
