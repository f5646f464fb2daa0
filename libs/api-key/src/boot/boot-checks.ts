import { Inject, Injectable, Logger, type OnApplicationBootstrap } from '@nestjs/common';
import { Verification } from '../lookup/verification';
import type { BootCheck } from './boot-check';

/** All checks. Problems are printed in the order of the checks. */
export const BOOT_CHECKS = Symbol('BOOT_CHECKS');

const PREFIX = 'ApiKeyModule: ';

/** Runs all checks at boot. Then the revocation feed starts to listen. */
@Injectable()
export class BootChecks implements OnApplicationBootstrap {
  private readonly logger = new Logger('ApiKeyModule');

  constructor(
    @Inject(BOOT_CHECKS) private readonly checks: readonly BootCheck[],
    private readonly verification: Verification,
  ) {}

  /** @throws Error with the problems of all checks. The error stops the boot */
  async onApplicationBootstrap(): Promise<void> {
    const errors: Error[] = [];
    for (const check of this.checks) errors.push(...(await errorsOf(check)));
    const [first] = errors;
    if (first && errors.length === 1) throw first;
    if (first) throw new AggregateError(errors, PREFIX + errors.map(wordsOf).join('; '));
    for (const check of this.checks)
      for (const warning of (await check.warnings?.()) ?? []) this.logger.warn(warning);
    await this.verification.start();
  }
}

async function errorsOf(check: BootCheck): Promise<readonly Error[]> {
  try {
    const problems = (await check.problems?.()) ?? [];
    return problems.length === 0 ? [] : [new Error(PREFIX + problems.join('; '))];
  } catch (error) {
    return [error as Error];
  }
}

function wordsOf({ message }: Error): string {
  return message.startsWith(PREFIX) ? message.slice(PREFIX.length) : message;
}
