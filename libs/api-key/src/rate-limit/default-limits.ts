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
  /** Returns true if the request is not counted. */
  readonly skipIf?: ((context: ExecutionContext) => boolean) | undefined;
}

/**
 * The limits of a key without a limit of its own. All of them apply.
 * If there are none, such a key is not limited.
 */
@Injectable()
export class DefaultLimits implements DefaultRates {
  readonly limits: readonly DefaultLimit[];

  /** @param throttlers the options of `ThrottlerModule`; null: the application has none */
  constructor(
    @Inject(API_KEY_OPTIONS) { rateLimit }: Pick<ResolvedApiKeyOptions, 'rateLimit'>,
    @Optional() @Inject(getOptionsToken()) throttlers: ThrottlerModuleOptions | null = null,
  ) {
    this.limits = defaultLimits(rateLimit, throttlers);
  }

  /** The default rates. They decide which limit a caller may give to a key. */
  get rates(): readonly DefaultRate[] {
    return this.limits.map(({ policy: { limit, windowMs }, skipIf }) => ({
      limit,
      windowSeconds: windowMs / 1_000,
      isConditional: skipIf !== undefined,
    }));
  }
}

/** The limit of this module or, if it is null, the throttlers of `ThrottlerModule`. */
function defaultLimits(
  own: { readonly limit: number | null; readonly windowSeconds: number },
  throttlers: ThrottlerModuleOptions | null,
): readonly DefaultLimit[] {
  if (own.limit === null) return limitsOfThrottlers(throttlers);
  return [{ name: 'default', policy: { limit: own.limit, windowMs: own.windowSeconds * 1_000 } }];
}

/** Ignores a throttler if its `limit` or `ttl` is a function, because its value is not fixed. */
function limitsOfThrottlers(options: ThrottlerModuleOptions | null): DefaultLimit[] {
  const { throttlers, skipIf: ofAll = undefined } = Array.isArray(options)
    ? { throttlers: options }
    : (options ?? { throttlers: [] });
  return throttlers.flatMap(({ name = 'default', limit, ttl, skipIf = ofAll }) =>
    typeof limit === 'number' && typeof ttl === 'number'
      ? [{ name, policy: { limit: Math.min(limit, MAX_LIMIT), windowMs: ttl }, skipIf }]
      : [],
  );
}
