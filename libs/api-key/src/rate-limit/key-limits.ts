import type { ExecutionContext } from '@nestjs/common';
import type { ApiKey } from '../api-key.entity';
import { MAX_LIMIT, quotaOf } from '../authority';
import type { Eventually } from '../eventually';
import { periodAt } from './calendar';
import type { DefaultLimit } from './default-limits';
import { itemOf, policyItem } from './rate-limit-headers';
import { type RouteLimits, routeLimits } from './route-limits';
import type { LimitPolicy } from './sliding-window';

/** One limit that a request counts on. */
export interface Limit {
  /** Its name, as `RateLimit-Policy` has it. */
  readonly item: string;
  /** Who and what is counted together. */
  readonly key: string;
  readonly policy: LimitPolicy;
  /** What `RateLimit-Policy` says of it. */
  readonly policyItem: string;
  readonly cost: number;
  /** Whether it is the quota of the key, which counts in the calendar. */
  readonly isQuota: boolean;
}

const NONE: readonly Limit[] = [];
/** A cost that fits in no limit; one that is computed may be any larger, and no database could add it up. */
const OVER_ANY_LIMIT = MAX_LIMIT + 1;

/** Which limits a request of a key counts on: that of the key, or else the default; those that its route declares; then its quota. */
export class KeyLimits {
  private readonly routes = new WeakMap<object, WeakMap<object, RouteLimits>>();
  /** What most requests of a key count on: they cost 1, and only the rate is limited. */
  private readonly plain = new WeakMap<ApiKey, readonly Limit[]>();
  private readonly hasConditions: boolean;
  private classNames: ReadonlyMap<object, string> | null = null;

  /** @param nameClasses names that tell classes apart, also those of one name; asked once, when the first request comes */
  constructor(
    private readonly own: { readonly windowSeconds: number },
    private readonly defaults: readonly DefaultLimit[],
    private readonly nameClasses: () => ReadonlyMap<object, string>,
    private readonly now: () => number = () => Date.now(),
  ) {
    this.hasConditions = defaults.some(({ skipIf }) => skipIf !== undefined);
  }

  /** @throws Error where a function of the application answers no whole number, 1 or more */
  of(apiKey: ApiKey, context: ExecutionContext): Eventually<readonly Limit[]> {
    const route = this.routeOf(context);
    if (route.isSkipped) return NONE;
    if (route.isPlain && !this.hasConditions && apiKey.quota === null)
      return this.plainOf(apiKey, context, route);
    if (route.limits.length > 0 || typeof route.cost !== 'number')
      return this.withRoute(apiKey, route, context);
    const { cost } = route;
    return [...this.ofKey(apiKey, cost, context, route), ...this.ofQuota(apiKey, cost)];
  }

  private plainOf(apiKey: ApiKey, context: ExecutionContext, route: RouteLimits): readonly Limit[] {
    const known = this.plain.get(apiKey);
    if (known) return known;
    const limits = this.ofKey(apiKey, 1, context, route);
    this.plain.set(apiKey, limits);
    return limits;
  }

  /** Of a key that has a limit and no window, or one that is none, as a hand may write, the window is the default. */
  private ofKey(
    { id, rateLimit, rateLimitWindowSeconds }: ApiKey,
    cost: number,
    context: ExecutionContext,
    { skipped }: RouteLimits,
  ): readonly Limit[] {
    if (rateLimit !== null) {
      const seconds = Math.max(0, rateLimitWindowSeconds ?? 0) || this.own.windowSeconds;
      return [limitOf('key', id, { limit: rateLimit, windowMs: seconds * 1_000 }, cost)];
    }
    return this.defaults
      .filter(({ name, skipIf }) => !skipped.has(name) && !skipIf?.(context))
      .map(({ name, policy }) => limitOf(name, `${id}:${name}`, policy, cost));
  }

  private async withRoute(
    apiKey: ApiKey,
    route: RouteLimits,
    context: ExecutionContext,
  ): Promise<readonly Limit[]> {
    const resolve = async (value: RouteLimits['cost'], what: string) =>
      whole(await (typeof value === 'function' ? value(context) : value), what);
    const cost = Math.min(await resolve(route.cost, 'cost'), OVER_ANY_LIMIT);
    const ofRoute = route.limits.map(async ({ name, limit, ttl }) => {
      const policy = { limit: await resolve(limit, 'limit'), windowMs: await resolve(ttl, 'ttl') };
      return limitOf(this.nameOnRoute(name), `${apiKey.id}:${route.id}:${name}`, policy, cost);
    });
    return [
      ...this.ofKey(apiKey, cost, context, route),
      ...(await Promise.all(ofRoute)),
      ...this.ofQuota(apiKey, cost),
    ];
  }

  /** Headers name each limit once, also where a route has one of the same name as another. */
  private nameOnRoute(name: string): string {
    if (name === 'default') return 'route';
    const isTaken = name === 'key' || name === 'quota' || this.defaults.some((known) => known.name === name);
    return isTaken ? `route-${name}` : name;
  }

  /** Last, so that what a rate refuses spends nothing of it. */
  private ofQuota(apiKey: ApiKey, cost: number): readonly Limit[] {
    const quota = quotaOf(apiKey);
    if (quota === null) return NONE;
    const { startsAt, endsAt } = periodAt(quota.period, this.now());
    const policy = { limit: quota.limit, windowMs: endsAt - startsAt, period: quota.period };
    return [{ ...limitOf('quota', apiKey.id, policy, cost), isQuota: true }];
  }

  private routeOf(context: ExecutionContext): RouteLimits {
    const ofClass = this.routes.get(context.getClass());
    const known = ofClass?.get(context.getHandler());
    if (known) return known;
    this.classNames ??= this.nameClasses();
    const owner = context.getClass();
    const limits = routeLimits(context, this.classNames.get(owner) ?? owner.name);
    this.routes.set(context.getClass(), (ofClass ?? new WeakMap()).set(context.getHandler(), limits));
    return limits;
  }
}

/** What is beyond the largest limit, as a hand may write or `Infinity` of `ThrottlerModule` is, counts as that. */
function limitOf(name: string, key: string, declared: LimitPolicy, cost: number): Limit {
  const policy = { ...declared, limit: Math.min(declared.limit, MAX_LIMIT) };
  const item = itemOf(name);
  return { item, key, policy, policyItem: policyItem(item, policy), cost, isQuota: false };
}

function whole(value: number, what: string): number {
  if (Number.isInteger(value) && value >= 1) return value;
  throw new Error(`a rate limit's ${what} must be a whole number, 1 or more, and is ${value}`);
}
