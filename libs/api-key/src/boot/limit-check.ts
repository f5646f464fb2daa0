import { Inject, Injectable } from '@nestjs/common';
import { Database } from '../database/database';
import { API_KEY_OPTIONS, type ResolvedApiKeyOptions } from '../options/api-key.options';
import { DefaultLimits } from '../rate-limit/default-limits';
import { listed, UnlimitedRoutes, unlimitedWarning } from '../rate-limit/unlimited-routes';
import { GlobalGuards } from '../routes/global-guards';
import type { BootCheck } from './boot-check';

/** How many of the newest keys are read, so that a boot costs little on any table. */
const NEWEST = 1_000;

/** Warns at boot if keys have limits, and routes that need a key do not count them. */
@Injectable()
export class LimitCheck implements BootCheck {
  constructor(
    private readonly routes: UnlimitedRoutes,
    private readonly globals: GlobalGuards,
    private readonly defaults: DefaultLimits,
    private readonly database: Database,
    @Inject(API_KEY_OPTIONS) private readonly options: Pick<ResolvedApiKeyOptions, 'rateLimit'>,
  ) {}

  /** None without HTTP, where the global guards of the server are unknown. */
  async warnings(): Promise<readonly string[]> {
    if (!this.globals.areFinal) return [];
    return [...(await this.uncounted()), ...this.halfLimits(), ...this.computedDefaults()];
  }

  private async uncounted(): Promise<readonly string[]> {
    const { names, namesWithOwnLimit } = this.routes;
    const reason = names.length > 0 && (await this.reason());
    if (reason) return [unlimitedWarning(names, reason)];
    return namesWithOwnLimit.length === 0
      ? []
      : [unlimitedWarning(namesWithOwnLimit, 'Routes have @Throttle')];
  }

  private halfLimits(): readonly string[] {
    const { namesWithHalfLimit: names } = this.routes;
    return names.length === 0
      ? []
      : [`@Throttle counts nothing on ${listed(names)}, because limit or ttl is missing: set both`];
  }

  /** `ThrottlerGuard` computes the values for each request, and then somebody uses them. */
  private computedDefaults(): readonly string[] {
    const { ignored } = this.defaults;
    return ignored.length === 0 || this.routes.useThrottlerGuard
      ? []
      : [
          `Throttler ${ignored.join(', ')} of ThrottlerModule limits no key, because its limit or ttl is a function: ` +
            'set option "rateLimit.limit"',
        ];
  }

  private async reason(): Promise<string | null> {
    if (this.options.rateLimit.limit !== null) return 'Option "rateLimit.limit" is set';
    return (await this.hasLimitedKeys()) ? 'Keys have a rate limit or quota' : null;
  }

  /** If the database fails now, the boot goes on without this warning. */
  private async hasLimitedKeys(): Promise<boolean> {
    const find = this.database.read((session) =>
      session.rows(
        `SELECT FROM (SELECT * FROM ${session.tables.keys} ORDER BY id DESC LIMIT ${NEWEST}) AS newest
         WHERE revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())
           AND (rate_limit IS NOT NULL OR quota IS NOT NULL) LIMIT 1`,
      ),
    );
    return (await find.catch(() => [])).length > 0;
  }
}
