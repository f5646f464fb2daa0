import { applyDecorators, SetMetadata } from '@nestjs/common';
import type { Resolvable } from '@nestjs/throttler';
import { THROTTLER_LIMIT, THROTTLER_SKIP, THROTTLER_TTL } from '@nestjs/throttler/dist/throttler.constants';
import { MAX_LIMIT } from '../model/limits';
import { isWhole } from '../options/checks';
import { type RouteContext, type RouteMethod, routeMethod } from '../transport/route-method';

const COST = 'nestjs-api-key rate limit cost';

/**
 * Cost of a request, which counts on the limits of its key: a whole number from 1 to 1,000,000,000,
 * or a function that returns one.
 */
export type RateLimitCost = Resolvable<number>;

/**
 * Sets the cost of each request of a route or class. The cost counts on the limits of the key.
 * @param cost a whole number, or a function that returns the cost of a request. Default 1
 * @throws TypeError if a number is not whole, or not in the range 1 to 1,000,000,000
 */
export function Cost(cost: RateLimitCost): MethodDecorator & ClassDecorator {
  if (typeof cost === 'number' && !isWhole(cost, 1, MAX_LIMIT))
    throw new TypeError(`@Cost: the cost of a request must be a whole number from 1 to ${MAX_LIMIT}`);
  return applyDecorators(SetMetadata(COST, cost), costByName(cost));
}

/**
 * Checks whether the cost that a method declares is missing on its function, because another
 * decorator replaced the function.
 */
export function isCostLost(prototype: object, { name, declared }: RouteMethod): boolean {
  let holder = prototype;
  while (holder && !Object.hasOwn(holder, name)) holder = Object.getPrototypeOf(holder);
  const byName: unknown = holder && Reflect.getOwnMetadata(COST, holder, name);
  return byName !== undefined && byName !== Reflect.getMetadata(COST, declared);
}

/**
 * Stores the cost also on the class, so that the cost is known if another decorator replaces the
 * function.
 */
function costByName(cost: RateLimitCost): MethodDecorator & ClassDecorator {
  return (target: object, key?: string | symbol) => {
    if (key !== undefined) Reflect.defineMetadata(COST, cost, target, key);
  };
}

/** A rate limit that `@Throttle` declares. */
export interface RouteLimit {
  readonly name: string;
  readonly limit: Resolvable<number>;
  /** Length of the window in milliseconds. */
  readonly ttl: Resolvable<number>;
}

/** The limits and the cost that a route declares. */
export interface RouteLimits {
  /** Whether `@SkipThrottle()` is set, so that nothing is counted. */
  readonly isSkipped: boolean;
  readonly limits: readonly RouteLimit[];
  /** Names of limits that `@SkipThrottle({ name: true })` does not count. */
  readonly skipped: ReadonlySet<string>;
  /** Names of limits that do not count, because `limit` or `ttl` is missing. */
  readonly incomplete: readonly string[];
  readonly cost: RateLimitCost;
  /** Whether the route declares no limit, no cost and no `@SkipThrottle`. */
  readonly isPlain: boolean;
  /** Identifier that is unique for each route. */
  readonly id: string;
}

/**
 * Returns the limits that a route declares with the decorators of `@nestjs/throttler`, and the cost
 * of the route. Decorators of the method override decorators of the class.
 * @param className a name of the class that is unique, even if two classes have the same name
 */
export function routeLimits(context: RouteContext, className: string): RouteLimits {
  const handler = context.getHandler();
  const method = routeMethod(context) ?? { name: handler.name, declared: handler };
  const targets = [method.declared, context.getClass()];
  const read = <T>(key: string): T | undefined =>
    targets.map((target) => Reflect.getMetadata(key, target)).find((value) => value !== undefined);
  const namesOf = (mark: string) => [...new Set(targets.flatMap((target) => throttlerNames(target, mark)))];
  const skipped = new Set(namesOf(THROTTLER_SKIP).filter((name) => read(THROTTLER_SKIP + name) === true));
  const cost = read<RateLimitCost>(COST) ?? 1;
  const declared = namesOf(THROTTLER_LIMIT)
    .filter((name) => !skipped.has(name))
    .map((name) => ({
      name,
      limit: read<Resolvable<number>>(THROTTLER_LIMIT + name),
      ttl: read<Resolvable<number>>(THROTTLER_TTL + name),
    }));
  const limits = declared.filter(isComplete);
  return {
    isSkipped: skipped.has('default'),
    limits,
    skipped,
    incomplete: declared.filter((limit) => !isComplete(limit)).map(({ name }) => name),
    cost,
    isPlain: limits.length === 0 && skipped.size === 0 && cost === 1,
    id: `${className}.${method.name}`,
  };
}

function isComplete(
  declared: { [Field in keyof RouteLimit]: RouteLimit[Field] | undefined },
): declared is RouteLimit {
  return declared.limit !== undefined && declared.ttl !== undefined;
}

/**
 * Returns the names of the limits that `@Throttle` or `@SkipThrottle` declares on a class or
 * method.
 */
function throttlerNames(target: object, mark: string): string[] {
  return Reflect.getMetadataKeys(target)
    .filter((key): key is string => typeof key === 'string' && key.startsWith(mark))
    .map((key) => key.slice(mark.length));
}
