import type { ExecutionContext } from '@nestjs/common';
import type { ThrottlerModuleOptions } from '@nestjs/throttler';
import type { DefaultRate, DefaultRates } from '../model/authority';
import { MAX_LIMIT } from '../model/limits';
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
export class DefaultLimits implements DefaultRates {
  constructor(readonly limits: readonly DefaultLimit[]) {}

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
export function defaultLimits(
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
