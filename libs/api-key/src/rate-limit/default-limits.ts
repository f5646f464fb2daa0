import { type ExecutionContext, Inject, Injectable, Optional } from '@nestjs/common';
import { getOptionsToken, type ThrottlerModuleOptions } from '@nestjs/throttler';
import type { DefaultRate, DefaultRates } from '../model/authority';
import { MAX_LIMIT } from '../model/limits';
import { API_KEY_OPTIONS, type ResolvedApiKeyOptions } from '../options/api-key.options';
import type { LimitPolicy } from './storages/sliding-window';

/** A limit for keys without a limit of their own. */
export interface DefaultLimit {
  readonly name: string;
  readonly policy: LimitPolicy;
  /** Returns true if this limit does not count the request. */
  readonly skipIf?: ((context: ExecutionContext) => boolean) | undefined;
}

type Throttler = Extract<ThrottlerModuleOptions, readonly unknown[]>[number];

/**
 * Limits of a key without a limit of its own. All of these limits apply. If the list is empty, such
 * a key is not limited.
 */
@Injectable()
export class DefaultLimits implements DefaultRates {
  /**
   * The default limit in the module's options. Without such a limit, the throttlers of
   * `ThrottlerModule`.
   */
  readonly limits: readonly DefaultLimit[];
  /**
   * Names of the throttlers of `ThrottlerModule` that limit no key, because their values are not
   * fixed.
   */
  readonly ignored: readonly string[];

  /**
   * @param throttlers the options of `ThrottlerModule`, or null if the application does not use it
   */
  constructor(
    @Inject(API_KEY_OPTIONS) { rateLimit }: Pick<ResolvedApiKeyOptions, 'rateLimit'>,
    @Optional() @Inject(getOptionsToken()) throttlers: ThrottlerModuleOptions | null = null,
  ) {
    const { limit, windowSeconds } = rateLimit;
    const own = limit !== null && { name: 'default', policy: { limit, windowMs: windowSeconds * 1_000 } };
    const others = own ? [] : throttlersOf(throttlers);
    const fixed = others.filter(isFixed).map((throttler) => ({
      name: nameOf(throttler),
      policy: { limit: Math.min(throttler.limit, MAX_LIMIT), windowMs: throttler.ttl },
      skipIf: throttler.skipIf,
    }));
    this.limits = own ? [own] : fixed;
    this.ignored = others.filter((throttler) => !isFixed(throttler)).map(nameOf);
  }

  /** Returns the default rates. They decide which limit a principal may give to a key. */
  get rates(): readonly DefaultRate[] {
    return this.limits.map(({ policy: { limit, windowMs }, skipIf }) => ({
      limit,
      windowSeconds: windowMs / 1_000,
      isConditional: skipIf !== undefined,
    }));
  }
}

function throttlersOf(options: ThrottlerModuleOptions | null): readonly Throttler[] {
  if (options === null) return [];
  const { throttlers, skipIf } = Array.isArray(options) ? { throttlers: options } : options;
  return throttlers.map((throttler) => ({ skipIf, ...throttler }));
}

/**
 * Checks whether a throttler has fixed values. If `limit` or `ttl` is a function, the throttler
 * limits no key.
 */
function isFixed(throttler: Throttler): throttler is Throttler & { limit: number; ttl: number } {
  return typeof throttler.limit === 'number' && typeof throttler.ttl === 'number';
}

function nameOf({ name = 'default' }: Throttler): string {
  return name;
}
