import { type CanActivate, type ExecutionContext, Inject, Injectable } from '@nestjs/common';
import type { ApiKey } from './api-key.entity';
import { ApiKeyRefusal } from './api-key.errors';
import { API_KEY_OPTIONS, type ResolvedApiKeyOptions } from './api-key.options';
import { RequestTrail } from './audit/request-trail';
import { type Eventually, rescue, then } from './eventually';
import { QuotaLimiter, RateLimiter } from './rate-limit/limiter';
import { KeyLimits, type Limit } from './rate-limit/key-limits';
import {
  type Counted,
  legacyHeaders,
  rateLimitHeaders,
  retryAfterSeconds,
} from './rate-limit/rate-limit-headers';
import { UsageCounter } from './rate-limit/usage-counter';
import { refuse } from './refuse';
import { type Authentication, authenticationOf } from './request/authentication';
import { requestOf, setHeaders } from './request/http-exchange';
import { RouteAccesses } from './route-access';
import { NeedsKey } from './scopes.decorator';

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
    return rescue(
      () => this.admit(authenticated(context), context),
      (error) => refuse(error, context, this.options.realm, this.trail),
    );
  }

  private admit(authentication: Authentication, context: ExecutionContext): Eventually<boolean> {
    if (authentication.isCounted) return true;
    authentication.isCounted = true;
    const { apiKey } = authentication;
    return then(this.limits.of(apiKey, context), (limits) =>
      then(this.hitAll(limits, []), (counted) => this.answer(counted, apiKey, context)),
    );
  }

  /** One after the other, as far as they pass. */
  private hitAll(limits: readonly Limit[], counted: Counted[]): Eventually<readonly Counted[]> {
    const [limit, ...rest] = limits;
    if (limit === undefined) return counted;
    const { key, policy, cost, name, isQuota = false } = limit;
    return then((isQuota ? this.quotas : this.rates).hit(key, policy, cost), (hit) => {
      if (hit) counted.push({ name, policy, hit, isQuota });
      return hit?.passed === false ? counted : this.hitAll(rest, counted);
    });
  }

  private answer(counted: readonly Counted[], apiKey: ApiKey, context: ExecutionContext): boolean {
    if (counted.length === 0) return true;
    setHeaders(context, rateLimitHeaders(counted));
    if (this.options.rateLimit.legacyHeaders) setHeaders(context, legacyHeaders(counted));
    const refused = counted.find(({ hit }) => !hit.passed);
    if (!refused) return true;
    this.usage.noteLimited(apiKey.id);
    throw limited(refused, apiKey);
  }
}

function authenticated(context: ExecutionContext): Authentication {
  const authentication = authenticationOf(requestOf(context));
  if (!authentication) throw new ApiKeyRefusal('MISSING_API_KEY');
  return authentication;
}

function limited({ hit, isQuota }: Counted, apiKey: ApiKey): ApiKeyRefusal {
  return new ApiKeyRefusal(isQuota ? 'QUOTA_EXCEEDED' : 'RATE_LIMITED', {
    retryAfterSeconds: retryAfterSeconds(hit),
    refused: { reason: isQuota ? 'quota' : 'rate', apiKey, masked: apiKey.masked },
  });
}
