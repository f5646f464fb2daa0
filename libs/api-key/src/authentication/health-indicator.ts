import { Injectable } from '@nestjs/common';
import { Verification, type VerificationStatus } from '../lookup/verification';

/** Result of a health check, in the format of `@nestjs/terminus`. */
export type ApiKeyHealth<Name extends string = string> = Record<
  Name,
  { readonly status: 'up' | 'down' } & VerificationStatus
>;

/**
 * Reports whether this instance can verify keys, for `HealthCheckService` of `@nestjs/terminus` or
 * for your own health check.
 */
@Injectable()
export class ApiKeyHealthIndicator {
  constructor(private readonly verification: Verification) {}

  /**
   * Returns the status `up` if the lease is valid, or if the database answers a look-up within
   * `cache.lookUpTimeoutMs`. Without the lease, each request needs a look-up. Send an alert if
   * `leaseHeld` is false, but do not take the instance out of service. Never rejects.
   */
  async isHealthy<const Name extends string = 'apiKeys'>(
    name: Name = 'apiKeys' as Name,
  ): Promise<ApiKeyHealth<Name>> {
    const status = (await this.verification.canJudge()) ? 'up' : 'down';
    return { [name]: { status, ...this.verification.status } } as ApiKeyHealth<Name>;
  }
}
