import { section, wholeNumber, wholeNumberOrNull, withDefaults } from './checks';

/**
 * When the look-ups of an address with many failed look-ups are batched. Each field that is omitted
 * keeps its default.
 */
export interface FailedAttemptsOptions {
  /**
   * Failed look-ups of an address in a window, 1 to 1,000,000. Once an address (IPv6: its /64)
   * reaches this number, its look-ups are sent every 50 ms, in one statement. No key is blocked.
   * null: look-ups are never batched. Default 100.
   */
  limit?: number | null;
  /** Length of the window in seconds, 1 to 86,400. Default 60. */
  windowSeconds?: number;
  /**
   * How many addresses are counted, 1 to 1,000,000. If there are more, the address with the oldest
   * last attempt is dropped and its count restarts at 0. Default 10,000.
   */
  maxAddresses?: number;
}

/** The section after defaults and checks, frozen. */
export type ResolvedFailedAttemptsOptions = Readonly<Required<FailedAttemptsOptions>>;

const DEFAULTS: ResolvedFailedAttemptsOptions = { limit: 100, windowSeconds: 60, maxAddresses: 10_000 };

export const checkFailedAttempts = section<FailedAttemptsOptions>({
  limit: wholeNumberOrNull(1, 1_000_000),
  windowSeconds: wholeNumber(1, 86_400),
  maxAddresses: wholeNumber(1, 1_000_000),
});

export function resolveFailedAttempts(given?: FailedAttemptsOptions): ResolvedFailedAttemptsOptions {
  return withDefaults(DEFAULTS, given);
}
