import type { ExecutionContext } from '@nestjs/common';
import type { ThrottlerModuleOptions } from '@nestjs/throttler';
import type { DefaultRate, DefaultRates } from '../model/authority';
import { MAX_LIMIT } from '../model/limits';
import type { LimitPolicy } from './storages/sliding-window';

/** A limit of keys that have none of their own. */
export interface DefaultLimit {
  readonly name: string;
  readonly policy: LimitPolicy;
  /** Returns true for a request that is not counted. */
  readonly skipIf?: ((context: ExecutionContext) => boolean) | undefined;
}

/**
 * The limits that bound a key without one of its own. Every one of them applies; none: such a key
 * is not limited.
 */
export class DefaultLimits implements DefaultRates {
  constructor(readonly limits: readonly DefaultLimit[]) {}

  /** What they mean for who may give a key which limit. */
  get rates(): readonly DefaultRate[] {
    return this.limits.map(({ policy: { limit, windowMs }, skipIf }) => ({
      limit,
      windowSeconds: windowMs / 1_000,
      isConditional: skipIf !== undefined,
    }));
  }
}

/** The limit of the module, or else the throttlers of `ThrottlerModule`. */
export function defaultLimits(
  own: { readonly limit: number | null; readonly windowSeconds: number },
  throttlers: ThrottlerModuleOptions | null,
): readonly DefaultLimit[] {
  if (own.limit === null) return limitsOfThrottlers(throttlers);
  return [{ name: 'default', policy: { limit: own.limit, windowMs: own.windowSeconds * 1_000 } }];
}

/** Throttlers whose `limit` and `ttl` are computed for each request are no defaults. */
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
