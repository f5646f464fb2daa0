import { betterAuthVerify } from './better-auth';
import type { Call } from './call';
import { ourVerify } from './ours';

/** What is measured without a server: one call in a process, given a connection string and keys. */
export const CALLS = {
  'verify()': { prepare: ourVerify, share: 100 },
  'better-auth verify': { prepare: betterAuthVerify, share: 0.25 },
} satisfies Record<string, CallVariant>;

interface CallVariant {
  prepare(databaseUrl: string, keys: readonly string[]): Promise<Call>;
  /** Calls of one turn, in requests of one turn of a server. */
  readonly share: number;
}

export type CallName = keyof typeof CALLS;
