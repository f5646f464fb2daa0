import { GUARDS_METADATA } from '@nestjs/common/constants';
import { isGuarded } from '../routes/route-access';
import type { Route } from '../routes/route-inventory';
import { declaredAccess } from '../routes/scopes.decorator';
import { ROUTE_ACCESS } from '../transport/route-method';

/** Metadata of decorators that say something about a handler, and do not make a method one. */
const DESCRIBING = [/^swagger\//, /^THROTTLER:/, /^nestjs-api-key /, new RegExp(`^${GUARDS_METADATA}$`)];

/**
 * Names of methods and classes of providers whose guards never run, because no decorator makes the
 * methods handlers of requests or messages. A class is named if none of its methods is a handler.
 */
export function routesWithoutHandler(routes: readonly Route[]): string[] {
  const served = new Set(routes.filter(({ handler }) => isHandler(handler)).map(({ owner }) => owner));
  const names = routes.flatMap(({ name, owner, handler }) => {
    if (isHandler(handler)) return [];
    if (asksForGuard(handler)) return [name];
    return asksForGuard(owner) && !served.has(owner) ? [owner.name] : [];
  });
  return [...new Set(names)];
}

function asksForGuard(target: object): boolean {
  return declaredAccess(target).needsKey || isGuarded(target);
}

function isHandler(handler: object): boolean {
  return Reflect.getMetadataKeys(handler).some(
    (key) => key !== ROUTE_ACCESS && !DESCRIBING.some((pattern) => pattern.test(String(key))),
  );
}
