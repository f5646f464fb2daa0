import { ThrottlerGuard } from '@nestjs/throttler';
import { classOf } from './route-access';

type GuardClass = abstract new (...args: never[]) => { canActivate: unknown };

/** Whether a guard, a class or an instance, is of a class or of one that extends it. */
export function isGuardOf(guard: unknown, base: GuardClass): boolean {
  const type = classOf(guard) as { readonly prototype?: unknown };
  return type === base || type.prototype instanceof base;
}

/** Whether a guard of a class runs the code of that class, and no code of the application. */
export function runsCodeOf(guard: unknown, base: GuardClass): boolean {
  const instance: unknown = typeof guard === 'function' ? guard.prototype : guard;
  const { canActivate } = Object(instance) as { readonly canActivate?: unknown };
  return isGuardOf(guard, base) && canActivate === base.prototype.canActivate;
}

/** Whether a guard may ask who a caller is. `ThrottlerGuard` only counts requests. */
export function mayAuthenticate(guard: unknown): boolean {
  const isGuard = typeof guard === 'function' || typeof Object(guard).canActivate === 'function';
  return isGuard && !runsCodeOf(guard, ThrottlerGuard);
}
