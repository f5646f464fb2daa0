import type { ExecutionContext } from '@nestjs/common';
import { SetMetadata } from '@nestjs/common';
import type { Resolvable } from '@nestjs/throttler';
import { THROTTLER_LIMIT, THROTTLER_SKIP, THROTTLER_TTL } from '@nestjs/throttler/dist/throttler.constants';
import { MAX_LIMIT } from '../authority';
import { isWhole } from '../option-checks';

const COST = 'nestjs-api-key rate limit cost';

/** What a request costs of the limits of its key: a whole number from 1 to 1,000,000,000. */
export type RateLimitCost = Resolvable<number>;

/**
 * Lets each request of a route or class cost more than one of the limits of its key; a function tells it for each request.
 * @throws TypeError where it is a number, and not a whole one in that range
 */
export function Cost(cost: RateLimitCost): MethodDecorator & ClassDecorator {
  if (typeof cost === 'number' && !isWhole(cost, 1, MAX_LIMIT))
    throw new TypeError(`@Cost: what a request costs must be a whole number from 1 to ${MAX_LIMIT}`);
  return SetMetadata(COST, cost);
}

/** A limit that `@Throttle` declares. */
export interface RouteLimit {
  readonly name: string;
  readonly limit: Resolvable<number>;
  /** Milliseconds. */
  readonly ttl: Resolvable<number>;
}

/** What a route declares about its limits. */
export interface RouteLimits {
  /** By `@SkipThrottle()`: nothing is counted. */
  readonly isSkipped: boolean;
  readonly limits: readonly RouteLimit[];
  readonly cost: RateLimitCost;
  /** Tells routes apart. */
  readonly id: string;
}

type RouteContext = Pick<ExecutionContext, 'getClass' | 'getHandler'>;

/** What the decorators of `@nestjs/throttler` say of a route, those of the method before those of its class; and its cost. */
export function routeLimits(context: RouteContext): RouteLimits {
  const targets = [context.getHandler(), context.getClass()];
  const read = <T>(key: string): T | undefined =>
    targets.map((target) => Reflect.getMetadata(key, target)).find((value) => value !== undefined);
  const names = new Set(targets.flatMap(throttlerNames));
  const limits = [...names]
    .filter((name) => !read(THROTTLER_SKIP + name))
    .flatMap((name) => {
      const [limit, ttl] = [
        read<Resolvable<number>>(THROTTLER_LIMIT + name),
        read<Resolvable<number>>(THROTTLER_TTL + name),
      ];
      return limit === undefined || ttl === undefined ? [] : [{ name, limit, ttl }];
    });
  return {
    isSkipped: read(`${THROTTLER_SKIP}default`) === true,
    limits,
    cost: read<RateLimitCost>(COST) ?? 1,
    id: `${context.getClass().name}.${context.getHandler().name}`,
  };
}

/** The names that `@Throttle` gives limits on a class or method. */
function throttlerNames(target: object): string[] {
  return Reflect.getMetadataKeys(target)
    .filter((key): key is string => typeof key === 'string' && key.startsWith(THROTTLER_LIMIT))
    .map((key) => key.slice(THROTTLER_LIMIT.length));
}
