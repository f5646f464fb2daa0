import { milliseconds, section, trueOrFalse, withDefaults } from './checks';

/** What is written about the use of keys. Each field that is omitted keeps its default. */
export interface UsageOptions {
  /** Whether `last_used_at` is written. Default true. */
  lastUsed?: boolean;
  /** Milliseconds between two writes of `last_used_at`, 100 to 3,600,000. Default 10,000. */
  lastUsedIntervalMs?: number;
  /**
   * Whether the requests of each key are counted per hour and per day, for `ApiKeyService.usage`.
   * Default true.
   */
  requests?: boolean;
  /** Milliseconds between two writes of these counts, 100 to 3,600,000. Default 60,000. */
  intervalMs?: number;
}

/** The section after defaults and checks, frozen. */
export type ResolvedUsageOptions = Readonly<Required<UsageOptions>>;

const DEFAULTS: ResolvedUsageOptions = {
  lastUsed: true,
  lastUsedIntervalMs: 10_000,
  requests: true,
  intervalMs: 60_000,
};

export const checkUsage = section<UsageOptions>({
  lastUsed: trueOrFalse,
  lastUsedIntervalMs: milliseconds(100, 3_600_000),
  requests: trueOrFalse,
  intervalMs: milliseconds(100, 3_600_000),
});

export function resolveUsage(given?: UsageOptions): ResolvedUsageOptions {
  return withDefaults(DEFAULTS, given);
}
