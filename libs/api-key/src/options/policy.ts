import { type Check, section, trueOrFalse, wholeNumberOrNull, withDefaults } from './checks';

/** Rules for all keys, whoever makes them. Each field that is omitted keeps its default. */
export interface PolicyOptions {
  /**
   * How many days after its creation a key expires at the latest, 1 to 36,500. Keys that never
   * expire are then refused. null: no limit. Default null.
   */
  maxLifetimeDays?: number | null;
  /**
   * How many days a key lives if no expiry is given, 1 to 36,500, at most `maxLifetimeDays`. null:
   * `maxLifetimeDays`, else never expires. Default null.
   */
  defaultLifetimeDays?: number | null;
  /** Whether a key may be made that never expires. Default: true without `maxLifetimeDays`. */
  allowNever?: boolean;
  /**
   * How many active keys an owner may have, 1 to 1,000,000. Rotated keys count until their overlap
   * ends. null: no limit. Default null.
   */
  maxActiveKeys?: number | null;
  /**
   * After how many days without a use a key is refused, 1 to 36,500. Needs `usage.lastUsed`. null:
   * never. Default null.
   */
  endUnusedAfterDays?: number | null;
}

/** The section after defaults and checks, frozen. */
export type ResolvedPolicyOptions = Readonly<Required<PolicyOptions>>;

const MAX_DAYS = 36_500;

const DEFAULTS: ResolvedPolicyOptions = {
  maxLifetimeDays: null,
  defaultLifetimeDays: null,
  allowNever: true,
  maxActiveKeys: null,
  endUnusedAfterDays: null,
};

const checkFields = section<PolicyOptions>({
  maxLifetimeDays: wholeNumberOrNull(1, MAX_DAYS),
  defaultLifetimeDays: wholeNumberOrNull(1, MAX_DAYS),
  allowNever: trueOrFalse,
  maxActiveKeys: wholeNumberOrNull(1, 1_000_000),
  endUnusedAfterDays: wholeNumberOrNull(1, MAX_DAYS),
});

export const checkPolicy: Check = (value, name) => {
  const problems = checkFields(value, name);
  return problems.length > 0 ? problems : contradictionsOf(value as PolicyOptions, name);
};

export function resolvePolicy(given?: PolicyOptions): ResolvedPolicyOptions {
  const allowNever = (given?.maxLifetimeDays ?? null) === null;
  return withDefaults({ ...DEFAULTS, allowNever }, given);
}

/** The problem of a policy that depends on what is written about the use of keys. */
export function problemsOfUnused(policy?: PolicyOptions, usage?: { readonly lastUsed?: boolean }): string[] {
  if ((policy?.endUnusedAfterDays ?? null) === null || usage?.lastUsed !== false) return [];
  return ['option "policy.endUnusedAfterDays" needs "usage.lastUsed", which is false'];
}

function contradictionsOf(
  { maxLifetimeDays, defaultLifetimeDays, allowNever }: PolicyOptions,
  name: string,
): string[] {
  const max = maxLifetimeDays ?? null;
  if (max === null) return [];
  return [
    ...((defaultLifetimeDays ?? 0) > max
      ? [`option "${name}.defaultLifetimeDays" must be at most "${name}.maxLifetimeDays"`]
      : []),
    ...(allowNever === true
      ? [`option "${name}.allowNever" cannot be true beside "${name}.maxLifetimeDays"`]
      : []),
  ];
}
