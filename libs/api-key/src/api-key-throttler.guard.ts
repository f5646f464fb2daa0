import { type CanActivate, type ExecutionContext, Inject, Injectable } from '@nestjs/common';
import type { ApiKey } from './api-key.entity';
import { ApiKeyRefusal } from './api-key.errors';
import { API_KEY_OPTIONS, type ResolvedApiKeyOptions } from './api-key.options';
import { RequestTrail } from './audit/request-trail';
import { type Eventually, isPending, rescue } from './eventually';
import { KeyLimits, type Limit } from './rate-limit/key-limits';
import { QuotaLimiter, RateLimiter } from './rate-limit/limiter';
import {
  type Counted,
  legacyHeaders,
  rateLimitHeaders,
  retryAfterSeconds,
} from './rate-limit/rate-limit-headers';
import type { Hit } from './rate-limit/sliding-window';
import { UsageCounter } from './rate-limit/usage-counter';
import { refuse } from './refuse';
import { type Authentication, authenticationOf } from './request/authentication';
import { requestOf, setHeaders } from './request/http-exchange';
import { RouteAccesses } from './route-access';
import { NeedsKey } from './scopes.decorator';

const NONE: readonly Counted[] = [];

/**
 * Refuses a request whose key has used up its limit, over all routes and, with a shared storage, all instances, or its quota.
 * Stands after `ApiKeyGuard` and before `ScopesGuard`. `@Throttle` adds the limit of a route, `@SkipThrottle()` counts nothing.
 */
@Injectable()
@NeedsKey()
export class ApiKeyThrottlerGuard implements CanActivate {
  private readonly routes = new RouteAccesses();

  constructor(
    private readonly rates: RateLimiter,
    private readonly quotas: QuotaLimiter,
    private readonly usage: UsageCounter,
    private readonly limits: KeyLimits,
    private readonly trail: RequestTrail,
    @Inject(API_KEY_OPTIONS) private readonly options: ResolvedApiKeyOptions,
  ) {}

  canActivate(context: ExecutionContext): boolean | Promise<boolean> {
    if (this.routes.of(context).isPublic) return true;
    return rescue(this.admit, this.refuse, context);
  }

  private readonly admit = (context: ExecutionContext): Eventually<boolean> => {
    const authentication = authenticated(context);
    if (authentication.isCounted) return true;
    authentication.isCounted = true;
    const { apiKey } = authentication;
    const limits = this.limits.of(apiKey, context);
    if (isPending(limits)) return limits.then((found) => this.count(found, apiKey, context));
    return this.count(limits, apiKey, context);
  };

  private count(limits: readonly Limit[], apiKey: ApiKey, context: ExecutionContext): Eventually<boolean> {
    const refusals = limits.length > 1 ? this.refusalsOf(limits) : NONE;
    if (refusals.length > 0) return this.answer(refusals, apiKey, context);
    const counted: Counted[] = [];
    const done = this.hitFrom(0, limits, counted);
    if (isPending(done)) return done.then(() => this.answer(counted, apiKey, context));
    return this.answer(counted, apiKey, context);
  }

  /** The refusals that are known before anything is counted, so that what one limit refuses uses up nothing of the others. */
  private refusalsOf(limits: readonly Limit[]): readonly Counted[] {
    return limits.flatMap((limit) => {
      const hit = this.limiterOf(limit).refusalOf(limit.key, limit.policy, limit.cost);
      return hit ? [{ limit, hit }] : [];
    });
  }

  private limiterOf({ isQuota }: Limit): RateLimiter | QuotaLimiter {
    return isQuota ? this.quotas : this.rates;
  }

  /** One after the other, as far as they pass; what became of each goes to `counted`. */
  private hitFrom(first: number, limits: readonly Limit[], counted: Counted[]): Eventually<void> {
    for (let i = first; i < limits.length; i++) {
      const limit = limits[i] as Limit;
      const hit = this.limiterOf(limit).hit(limit.key, limit.policy, limit.cost);
      if (isPending(hit))
        return hit.then((found) =>
          note(limit, found, counted) ? this.hitFrom(i + 1, limits, counted) : undefined,
        );
      if (!note(limit, hit, counted)) return;
    }
  }

  private answer(counted: readonly Counted[], apiKey: ApiKey, context: ExecutionContext): boolean {
    if (counted.length === 0) return true;
    setHeaders(context, rateLimitHeaders(counted));
    if (this.options.rateLimit.legacyHeaders) setHeaders(context, legacyHeaders(counted));
    const refusal = longest(counted);
    if (!refusal) return true;
    this.usage.noteLimited(apiKey.id);
    throw limited(refusal, apiKey);
  }

  private readonly refuse = (error: unknown, context: ExecutionContext): never =>
    refuse(error, context, this.options.realm, this.trail);
}

/** Whether the next limit may be hit: this one passed, or nobody counts it. */
function note(limit: Limit, hit: Hit | null, counted: Counted[]): boolean {
  if (hit) counted.push({ limit, hit });
  return hit?.passed !== false;
}

/** The refusal that has the caller wait longest, if any: it is of no use to come back before. */
function longest(counted: readonly Counted[]): Counted | undefined {
  let found: Counted | undefined;
  for (const one of counted)
    if (!one.hit.passed && !(found && found.hit.retryAfterMs >= one.hit.retryAfterMs)) found = one;
  return found;
}

function authenticated(context: ExecutionContext): Authentication {
  const authentication = authenticationOf(requestOf(context));
  if (!authentication) throw new ApiKeyRefusal('MISSING_API_KEY');
  return authentication;
}

function limited({ hit, limit: { isQuota } }: Counted, apiKey: ApiKey): ApiKeyRefusal {
  return new ApiKeyRefusal(isQuota ? 'QUOTA_EXCEEDED' : 'RATE_LIMITED', {
    retryAfterSeconds: retryAfterSeconds(hit),
    refused: { reason: isQuota ? 'quota' : 'rate', apiKey, masked: apiKey.masked },
  });
}
