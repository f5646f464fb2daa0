import { type CanActivate, type ExecutionContext, Inject, Injectable } from '@nestjs/common';
import { RequestTrail } from '../audit/request-trail';
import type { ApiKey } from '../model/api-key.entity';
import { ApiKeyRefusal } from '../model/api-key.errors';
import { API_KEY_OPTIONS, type ResolvedApiKeyOptions } from '../options/api-key.options';
import { RouteAccesses } from '../routes/route-access';
import { NeedsKey } from '../routes/scopes.decorator';
import { UnauthenticatedRoutes } from '../routes/unauthenticated-routes';
import { refuse } from '../transport/answer-refusal';
import { type Authentication, authenticationBy } from '../transport/authenticated-request';
import { requestOf, setHeaders } from '../transport/http-exchange';
import { UsageCounter } from '../usage/usage-counter';
import { KeyLimits } from './key-limits';
import { dueOf, type Limit, type RequestLimits } from './limit';
import { QuotaLimiter, RateLimiter } from './limiter';
import { legacyHeaders, rateLimitHeaders, retryAfterSeconds } from './rate-limit-headers';
import type { Hit } from './storages/sliding-window';
import type { Hits } from './storages/storage';

/** Results of one hit on several limits, in the order of the limits. */
interface Counted {
  readonly limits: readonly Limit[];
  readonly hits: Hits;
}

/**
 * Refuses a request if its key has used up a rate limit or a quota.
 * Rate limits count over all routes. With a shared storage, they count over all instances.
 * Put this guard after `ApiKeyGuard` and before `ScopesGuard`.
 * `@Throttle` adds a limit for one route. With `@SkipThrottle()`, nothing is counted.
 */
@Injectable()
@NeedsKey()
export class ApiKeyThrottlerGuard implements CanActivate {
  private readonly routes = new RouteAccesses();
  private readonly unauthenticated = new UnauthenticatedRoutes(ApiKeyThrottlerGuard.name);

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
    const authentication = authenticationBy(this.options, requestOf(context));
    if (!authentication) return this.refuseUnauthenticated(context);
    const limits = this.limits.known(authentication.apiKey, context);
    if (limits === null) return this.countComputed(authentication, context);
    if (limits.quotas.length > 0 || authentication.counting !== null || authentication.counted.length > 0)
      return this.countInTurn(limits, authentication, context);
    const hits = this.rates.hitInMemory(limits.rates, limits.cost);
    return hits
      ? this.answer(limits, { limits: limits.rates, hits }, authentication, context)
      : this.countInTurn(limits, authentication, context);
  }

  /**
   * Counts a request on a route whose limits or cost are functions. Calls these functions first.
   */
  private async countComputed(authentication: Authentication, context: ExecutionContext): Promise<boolean> {
    let limits: RequestLimits;
    try {
      limits = await this.limits.of(authentication.apiKey, context);
    } catch (error) {
      return this.refuse(error, context);
    }
    return this.countInTurn(limits, authentication, context);
  }

  /**
   * Counts a request, except on limits on which another guard has counted it, on this or another
   * route. If several guards run at the same time for one request, they count one after the other.
   */
  private countInTurn(
    limits: RequestLimits,
    authentication: Authentication,
    context: ExecutionContext,
  ): Promise<boolean> {
    const counted = this.countAfter(authentication.counting, limits, authentication, context);
    authentication.counting = counted.catch(() => {});
    return counted;
  }

  private async countAfter(
    before: Promise<unknown> | null,
    limits: RequestLimits,
    authentication: Authentication,
    context: ExecutionContext,
  ): Promise<boolean> {
    if (before) await before;
    for (const due of dueOf(limits, authentication.counted)) await this.count(due, authentication, context);
    return true;
  }

  private async count(
    limits: RequestLimits,
    authentication: Authentication,
    context: ExecutionContext,
  ): Promise<boolean> {
    let counted: Counted;
    try {
      const { rates, cost } = limits;
      if (limits.quotas.length > 0) counted = await this.countWithQuotas(limits);
      else counted = { limits: rates, hits: await this.rates.hit(rates, cost) };
    } catch (error) {
      return this.refuse(error, context);
    }
    return this.answer(limits, counted, authentication, context);
  }

  /**
   * Counts rate limits before quotas, because a hit that a rate limit refuses must not use up
   * quota. If a quota is known to refuse the hit, no rate limit counts the hit.
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

  private answer(
    asked: RequestLimits,
    { limits, hits }: Counted,
    authentication: Authentication,
    context: ExecutionContext,
  ): boolean {
    if (hits.some((hit) => hit !== null)) this.setHeaders(limits, hits, context);
    const refused = longest(hits);
    if (refused !== undefined) {
      const { apiKey } = authentication;
      this.usage.noteLimited(apiKey.id);
      return this.refuse(limited(hits[refused] as Hit, limits[refused] as Limit, apiKey), context);
    }
    authentication.counted = [...authentication.counted, asked];
    return true;
  }

  private setHeaders(limits: readonly Limit[], hits: Hits, context: ExecutionContext): void {
    setHeaders(context, rateLimitHeaders(limits, hits));
    if (this.options.rateLimit.legacyHeaders) setHeaders(context, legacyHeaders(limits, hits));
  }

  private refuseUnauthenticated(context: ExecutionContext): never {
    this.unauthenticated.report(context);
    return this.refuse(new ApiKeyRefusal('MISSING_API_KEY'), context);
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
 * Returns the index of the refusal with the longest wait, or undefined if nothing refused. A client
 * that retried after a shorter wait would be refused again.
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
