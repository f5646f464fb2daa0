import { Injectable, Logger } from '@nestjs/common';
import type { ApiKey } from '../model/api-key.entity';
import { WrittenKeys } from '../model/written-keys';
import { UnlimitedRoutes, unlimitedWarning } from './unlimited-routes';

/** Logs a warning once if a key gets a limit that some routes do not count. */
@Injectable()
export class LimitWarning implements WrittenKeys {
  private readonly logger = new Logger('ApiKeyModule');
  private hasWarned = false;

  constructor(private readonly routes: UnlimitedRoutes) {}

  noteWritten(apiKey: ApiKey): void {
    if (this.hasWarned || !isLimited(apiKey)) return;
    const { names } = this.routes;
    if (names.length === 0) return;
    this.hasWarned = true;
    this.logger.warn(unlimitedWarning(names, `Key ${apiKey.id} has a rate limit or quota`));
  }
}

function isLimited({ rateLimit, quota, sharedLimits }: ApiKey): boolean {
  return rateLimit !== null || quota !== null || (sharedLimits?.length ?? 0) > 0;
}
