import { type CanActivate, type ExecutionContext, Inject, Injectable } from '@nestjs/common';
import { RequestTrail } from '../audit/request-trail';
import type { ApiKey } from '../model/api-key.entity';
import { ApiKeyRefusal } from '../model/api-key.errors';
import { API_KEY_OPTIONS, type ResolvedApiKeyOptions } from '../options/api-key.options';
import { RouteAccesses } from '../routes/route-access';
import { NeedsKey } from '../routes/scopes.decorator';
import { refuse } from '../transport/answer-refusal';
import { type Authentication, authenticationOf } from '../transport/authenticated-request';
import { requestOf, setHeaders } from '../transport/http-exchange';
import { UsageCounter } from '../usage/usage-counter';
import { KeyLimits } from './key-limits';
import { type Limit, type RequestLimits, takeUncounted } from './limit';
import { QuotaLimiter, RateLimiter } from './limiter';
import { legacyHeaders, rateLimitHeaders, retryAfterSeconds } from './rate-limit-headers';
import type { Hit } from './storages/sliding-window';
import type { Hits } from './storages/storage';

/** The results of one hit on several limits, in the order of the limits. */
interface Counted {
  readonly limits: readonly Limit[];
  readonly hits: Hits;
}

/**
 * Refuses a request if its key has used up a rate limit or a quota.
 * Rate limits count over all routes and, with a shared storage, over all instances.
 * Put this guard after `ApiKeyGuard` and before `ScopesGuard`.
 * `@Throttle` adds a limit for one route. `@SkipThrottle()` counts nothing.
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
    const authentication = authenticationOf(requestOf(context));
    if (!authentication) return this.refuse(new ApiKeyRefusal('MISSING_API_KEY'), context);
    const { apiKey } = authentication;
    const known = this.limits.known(apiKey, context);
    if (known === null) return this.countComputed(authentication, context);
    const limits = takeUncounted(known, authentication);
    if (limits.quotas.length > 0) return this.count(limits, apiKey, context);
    const hits = this.rates.hitInMemory(limits.rates, limits.cost);
    return hits ? this.answer(limits.rates, hits, apiKey, context) : this.count(limits, apiKey, context);
  }

  /** What the route declares is computed first. */
  private async countComputed(authentication: Authentication, context: ExecutionContext): Promise<boolean> {
    const { apiKey } = authentication;
    let limits: RequestLimits;
    try {
      limits = takeUncounted(await this.limits.of(apiKey, context), authentication);
    } catch (error) {
      return this.refuse(error, context);
    }
    return this.count(limits, apiKey, context);
  }

  private async count(limits: RequestLimits, apiKey: ApiKey, context: ExecutionContext): Promise<boolean> {
    let counted: Counted;
    try {
      const { rates, cost } = limits;
      if (limits.quotas.length > 0) counted = await this.countWithQuotas(limits);
      else counted = { limits: rates, hits: await this.rates.hit(rates, cost) };
    } catch (error) {
      return this.refuse(error, context);
    }
    return this.answer(counted.limits, counted.hits, apiKey, context);
  }

  /**
   * Counts rate limits first, because a hit that a rate limit refuses must not use up quota.
   * If a quota is known to refuse the hit, no rate limit counts the hit.
   */
  private async countWithQuotas({ rates, quotas, cost }: RequestLimits): Promise<Counted> {
    const limits = [...rates, ...quotas];
    const known = [
      ...(this.rates.refusalOf(rates, cost) ?? rates.map(unknown)),
      ...(this.quotas.refusalOf(quotas, cost) ?? quotas.map(unknown)),
    ];
    if (known.some(isRefused)) return { limits, hits: known };
    const ofRates = await this.rates.hit(rates, cost);
    if (ofRates.some(isRefused)) return { limits: rates, hits: ofRates };
    return { limits, hits: [...ofRates, ...(await this.quotas.hit(quotas, cost))] };
  }

  private answer(limits: readonly Limit[], hits: Hits, apiKey: ApiKey, context: ExecutionContext): boolean {
    if (hits.every((hit) => hit === null)) return true;
    setHeaders(context, rateLimitHeaders(limits, hits));
    if (this.options.rateLimit.legacyHeaders) setHeaders(context, legacyHeaders(limits, hits));
    const refused = longest(hits);
    if (refused === undefined) return true;
    this.usage.noteLimited(apiKey.id);
    return this.refuse(limited(hits[refused] as Hit, limits[refused] as Limit, apiKey), context);
  }

  private refuse(error: unknown, context: ExecutionContext): never {
    return refuse(error, context, this.options.realm, this.trail);
  }
}

function unknown(): null {
  return null;
}

function isRefused(hit: Hit | null): boolean {
  return hit?.passed === false;
}

/**
 * The index of the refusal with the longest wait, if there is a refusal.
 * A caller that returned earlier would be refused again.
 */
function longest(hits: Hits): number | undefined {
  let found: number | undefined;
  for (let at = 0; at < hits.length; at++) {
    const [hit, before] = [hits[at], found === undefined ? null : hits[found]];
    if (hit && !hit.passed && !(before && before.retryAfterMs >= hit.retryAfterMs)) found = at;
  }
  return found;
}

function limited(hit: Hit, { policy }: Limit, apiKey: ApiKey): ApiKeyRefusal {
  const isQuota = policy.period !== undefined;
  return new ApiKeyRefusal(isQuota ? 'QUOTA_EXCEEDED' : 'RATE_LIMITED', {
    retryAfterSeconds: retryAfterSeconds(hit),
    refused: { reason: isQuota ? 'quota' : 'rate', apiKey, masked: apiKey.masked },
  });
}
