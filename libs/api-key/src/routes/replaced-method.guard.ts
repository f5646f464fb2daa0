import type { CanActivate, ExecutionContext } from '@nestjs/common';
import { routeMethod, routeName } from '../transport/route-method';
import { guardsOn } from './route-access';

/**
 * Fails requests to a controller that is made for each request, if its constructor replaced the
 * method. Nest reads guards from the function that it finds on the instance, so those of the method
 * would not run. No check at boot sees such an instance.
 */
export class ReplacedMethodGuard implements CanActivate {
  /** @param prototypes those of the controllers to check */
  constructor(private readonly prototypes: ReadonlySet<object>) {}

  /** @throws Error if the function is unknown, or lost guards of its method */
  canActivate(context: ExecutionContext): boolean {
    if (context.getType() !== 'http' || !this.prototypes.has(context.getClass().prototype)) return true;
    if (keepsGuards(context)) return true;
    throw new Error(
      `${routeName(context)} loses the guards that were declared on it, for its controller replaces the method: ` +
        'do not, or copy name and metadata',
    );
  }
}

function keepsGuards(context: ExecutionContext): boolean {
  const method = routeMethod(context);
  if (!method) return false;
  const kept = guardsOn(context.getHandler());
  return guardsOn(method.declared).every((guard) => kept.includes(guard));
}
