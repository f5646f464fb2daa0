import type { CanActivate, ExecutionContext } from '@nestjs/common';
import { routeMethod, routeName } from '../transport/route-method';
import { guardsOn } from './route-access';

/**
 * Fails a request if its controller is created for each request and the constructor replaced the
 * method. Nest reads guards from the function on the instance, so the guards of the method would
 * not run. No check at boot sees such an instance.
 */
export class ReplacedMethodGuard implements CanActivate {
  /** @param prototypes the prototypes of the controllers to check */
  constructor(private readonly prototypes: ReadonlySet<object>) {}

  /** @throws Error if the function is unknown, or lacks guards of its method */
  canActivate(context: ExecutionContext): boolean {
    if (context.getType() !== 'http' || !this.prototypes.has(context.getClass().prototype)) return true;
    if (keepsGuards(context)) return true;
    throw new Error(
      `${routeName(context)} loses its guards, because its controller replaces the method: ` +
        'do not do that, or copy name and metadata',
    );
  }
}

function keepsGuards(context: ExecutionContext): boolean {
  const method = routeMethod(context);
  if (!method) return false;
  const kept = guardsOn(context.getHandler());
  return guardsOn(method.declared).every((guard) => kept.includes(guard));
}
