import { type ExecutionContext, Inject, Injectable, Optional } from '@nestjs/common';
import type { ApiKey } from '../model/api-key.entity';
import { quotaOf } from '../model/authority';
import { MAX_LIMIT, type Quota, type SharedLimit } from '../model/limits';
import { bucketOf } from '../model/lineage';
import { API_KEY_OPTIONS, type ResolvedApiKeyOptions } from '../options/api-key.options';
import { RouteInventory } from '../routes/route-inventory';
import { routeMethod } from '../transport/route-method';
import { periodAt } from '../usage/calendar';
import { type DefaultLimit, DefaultLimits } from './default-limits';
import type { Limit, RequestLimits } from './limit';
import { itemOf, policyItem } from './rate-limit-headers';
import { type RouteLimits, routeLimits } from './route-limits';
import type { LimitPolicy } from './storages/sliding-window';

/** Prefix of the names of limits that a key shares with its ancestors. */
const SHARED = 'shared-';
const NONE: readonly Limit[] = [];

const UNLIMITED: RequestLimits = { rates: [], quotas: [], cost: 1 };
/**
 * A cost that exceeds every limit. A computed cost is capped at this value, because the database
 * cannot add up larger numbers.
 */
const OVER_ANY_LIMIT = MAX_LIMIT + 1;

/**
 * Finds the limits on which a request with a key counts. A key without a limit of its own has the
 * default limits. The limits of the route, and the limits that the key shares with its ancestors,
 * are added. The quotas are the quota of the key and the shared quotas.
 */
@Injectable()
export class KeyLimits {
  private readonly routes = new WeakMap<object, WeakMap<object, RouteLimits>>();
  /**
   * Cached limits of each key for most requests: the cost is 1, the key has no quota, and the route
   * declares nothing.
   */
  private readonly plain = new WeakMap<ApiKey, RequestLimits>();
  private readonly windowSeconds: number;
  private readonly defaults: readonly DefaultLimit[];
  private readonly hasConditions: boolean;
  private classNames: ReadonlyMap<object, string> | null = null;

  constructor(
    @Inject(API_KEY_OPTIONS) { rateLimit }: Pick<ResolvedApiKeyOptions, 'rateLimit'>,
    { limits }: DefaultLimits,
    private readonly inventory: RouteInventory,
    @Optional() private readonly now: () => number = () => Date.now(),
  ) {
    this.windowSeconds = rateLimit.windowSeconds;
    this.defaults = limits;
    this.hasConditions = limits.some(({ skipIf }) => skipIf !== undefined);
  }

  /**
   * Returns the limits of a request, if the route declares no limit and has a fixed cost.
   * @returns null for all other routes: call `of`
   */
  known(apiKey: ApiKey, context: ExecutionContext): RequestLimits | null {
    const route = this.routeOf(context);
    if (route.isSkipped) return UNLIMITED;
    if (route.isPlain && !this.hasConditions && !hasQuota(apiKey))
      return this.plainOf(apiKey, context, route);
    if (route.limits.length > 0 || typeof route.cost !== 'number') return null;
    return this.limitsOf(apiKey, route.cost, context, route, NONE);
  }

  /**
   * Returns the limits of a request on any route.
   * @throws Error if a function of the application does not return a whole number of 1 or more
   */
  async of(apiKey: ApiKey, context: ExecutionContext): Promise<RequestLimits> {
    return this.known(apiKey, context) ?? this.withRoute(apiKey, this.routeOf(context), context);
  }

  private plainOf(apiKey: ApiKey, context: ExecutionContext, route: RouteLimits): RequestLimits {
    const known = this.plain.get(apiKey);
    if (known) return known;
    const limits = this.limitsOf(apiKey, 1, context, route, NONE);
    this.plain.set(apiKey, limits);
    return limits;
  }

  private limitsOf(
    apiKey: ApiKey,
    cost: number,
    context: ExecutionContext,
    route: RouteLimits,
    ofRoute: readonly Limit[],
  ): RequestLimits {
    const shared = sharedOf(apiKey);
    return {
      rates: [...this.ratesOf(apiKey, context, route, shared), ...ofRoute, ...sharedRates(apiKey, shared)],
      quotas: hasQuota(apiKey) ? this.quotasOf(apiKey, shared) : NONE,
      cost,
    };
  }

  /**
   * Returns the rate limits of a key. If the window of the key is missing or invalid, for example
   * edited by hand, the default window is used. The first default limit counts in the bucket of the
   * key. So the count continues when the key gets a limit of its own.
   */
  private ratesOf(
    apiKey: ApiKey,
    context: ExecutionContext,
    { skipped }: RouteLimits,
    shared: readonly SharedLimit[],
  ): readonly Limit[] {
    const bucket = bucketOf(apiKey);
    const { rateLimit, rateLimitWindowSeconds } = apiKey;
    if (rateLimit !== null) {
      const seconds = Math.max(0, rateLimitWindowSeconds ?? 0) || this.windowSeconds;
      return [limitOf('key', bucket, { limit: rateLimit, windowMs: seconds * 1_000 })];
    }
    const [first] = this.defaults;
    const isShared = shared.some(({ id, rateLimit: rate }) => id === bucket && rate);
    return this.defaults
      .filter(({ name, skipIf }) => !skipped.has(name) && !skipIf?.(context))
      .map((known) =>
        limitOf(known.name, known === first && !isShared ? bucket : `${bucket}:${known.name}`, known.policy),
      );
  }

  private async withRoute(
    apiKey: ApiKey,
    route: RouteLimits,
    context: ExecutionContext,
  ): Promise<RequestLimits> {
    const resolve = async (value: RouteLimits['cost'], what: string) =>
      whole(await (typeof value === 'function' ? value(context) : value), what);
    const cost = Math.min(await resolve(route.cost, 'cost'), OVER_ANY_LIMIT);
    const ofRoute = route.limits.map(async ({ name, limit, ttl }) => {
      const policy = { limit: await resolve(limit, 'limit'), windowMs: await resolve(ttl, 'ttl') };
      return limitOf(this.nameOnRoute(name), `${bucketOf(apiKey)}:${route.id}:${name}`, policy);
    });
    return this.limitsOf(apiKey, cost, context, route, await Promise.all(ofRoute));
  }

  /**
   * Returns the name of a route limit in headers. Headers must name each limit once. If another
   * limit has the same name, the route limit gets the prefix `route-`.
   */
  private nameOnRoute(name: string): string {
    if (name === 'default') return 'route';
    const isOurs = name === 'key' || name === 'quota' || name.startsWith(SHARED);
    const isTaken = isOurs || this.defaults.some((known) => known.name === name);
    return isTaken ? `route-${name}` : name;
  }

  private quotasOf(apiKey: ApiKey, shared: readonly SharedLimit[]): readonly Limit[] {
    const [own, bucket, now] = [quotaOf(apiKey), bucketOf(apiKey), this.now()];
    const limits = own ? [quotaLimit('quota', bucket, own, now)] : [];
    for (const { id, quota } of shared)
      if (quota && !(own && id === bucket)) limits.push(quotaLimit(`${SHARED}quota-${id}`, id, quota, now));
    return limits;
  }

  private routeOf(context: ExecutionContext): RouteLimits {
    const known = this.routes.get(context.getClass())?.get(context.getHandler());
    return known ?? this.learn(context);
  }

  private learn(context: ExecutionContext): RouteLimits {
    const [owner, handler] = [context.getClass(), context.getHandler()];
    const declared = routeMethod(context)?.declared ?? handler;
    const ofClass = this.routes.get(owner) ?? new WeakMap<object, RouteLimits>();
    const limits = ofClass.get(declared) ?? routeLimits(context, this.nameOf(owner));
    this.routes.set(owner, ofClass.set(declared, limits).set(handler, limits));
    return limits;
  }

  private nameOf(owner: { readonly name: string; readonly prototype: object }): string {
    this.classNames ??= this.inventory.classNames();
    return this.classNames.get(owner.prototype) ?? owner.name;
  }
}

function hasQuota({ quota, sharedLimits }: ApiKey): boolean {
  return quota !== null || sharedLimits?.some((shared) => shared.quota) === true;
}

/**
 * Returns the limits that a key shares with its ancestors, nearest ancestor first. Each bucket
 * appears once. Rotated keys share a bucket. If a bucket has the limits of several keys, the limit
 * of the last key applies.
 */
function sharedOf({ sharedLimits }: ApiKey): readonly SharedLimit[] {
  if (!sharedLimits) return [];
  return [...new Map(sharedLimits.map((shared) => [shared.id, shared])).values()].reverse();
}

function sharedRates(apiKey: ApiKey, shared: readonly SharedLimit[]): readonly Limit[] {
  const [bucket, limits]: [string, Limit[]] = [bucketOf(apiKey), []];
  for (const { id, rateLimit: rate } of shared) {
    if (!rate || (apiKey.rateLimit !== null && id === bucket)) continue;
    limits.push(limitOf(`${SHARED}${id}`, id, { limit: rate.limit, windowMs: rate.windowSeconds * 1_000 }));
  }
  return limits;
}

function quotaLimit(name: string, key: string, { limit, period }: Quota, now: number): Limit {
  const { startsAt, endsAt } = periodAt(period, now);
  return limitOf(name, key, { limit, windowMs: endsAt - startsAt, period });
}

/**
 * Creates a limit whose value is at most `MAX_LIMIT`. Larger values come from rows that were edited
 * by hand, or from `Infinity` in the options of `ThrottlerModule`.
 */
function limitOf(name: string, key: string, declared: LimitPolicy): Limit {
  const policy = { ...declared, limit: Math.min(declared.limit, MAX_LIMIT) };
  const item = itemOf(name);
  return { item, key, policy, policyItem: policyItem(item, policy) };
}

function whole(value: number, what: string): number {
  if (Number.isInteger(value) && value >= 1) return value;
  throw new Error(`the ${what} of a rate limit must be a whole number of at least 1, but is ${value}`);
}
