import { section, wholeNumber, wholeNumberOrNull, withDefaults } from './checks';

/**
 * From how many failed look-ups on those of one address are batched. Each field that is omitted
 * keeps its default.
 */
export interface FailedAttemptsOptions {
  /**
   * Look-ups of refused keys in a window, 1 to 1,000,000. After as many, the look-ups of the same
   * address (IPv6: the same /64) are sent every 50 ms, in one statement. null: never. No key is
   * blocked by it. Default 100.
   */
  limit?: number | null;
  /** Seconds of that window, 1 to 86,400. Default 60. */
  windowSeconds?: number;
  /**
   * Addresses that are counted, 1 to 1,000,000. Beyond that, the count of the address whose last
   * attempt is longest ago starts anew. Default 10,000.
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
