import { Injectable } from '@nestjs/common';
import { Verification, type VerificationStatus } from '../lookup/verification';

/** What a health check shows, in the shape of `@nestjs/terminus`. */
export type ApiKeyHealth<Name extends string = string> = Record<
  Name,
  { readonly status: 'up' | 'down' } & VerificationStatus
>;

/** Tells whether this instance can judge keys, for `HealthCheckService` of `@nestjs/terminus` or a check of one's own. */
@Injectable()
export class ApiKeyHealthIndicator {
  constructor(private readonly verification: Verification) {}

  /**
   * Up while the lease is held, or else while the database answers a look-up within `cache.lookUpTimeoutMs`. Without a lease each
   * request is a look-up: alert on `leaseHeld`, do not take the instance out for it. Never rejects.
   */
  async isHealthy<const Name extends string = 'apiKeys'>(
    name: Name = 'apiKeys' as Name,
  ): Promise<ApiKeyHealth<Name>> {
    const status = (await this.verification.canJudge()) ? 'up' : 'down';
    return { [name]: { status, ...this.verification.status } } as ApiKeyHealth<Name>;
  }
}
