import { guardsAdded, guardsOn, hasOurs, isGuarded } from './route-access';
import { type AccessDeclaration, declaredAccess } from './scopes.decorator';

/**
 * Whether `@Public` stands on a method beside a guard of this library, `@Scopes`, `@AnyScope`,
 * `@Environments` or `@ApiKeyAuth`.
 */
export function contradictsOnMethod(handler: object): boolean {
  const { isPublic, needsKey } = declaredAccess(handler);
  return isPublic && (needsKey || isGuarded(handler));
}

/** The class, or the nearest class that it extends, on which `@Public` stands beside the same. */
export function contradictingClass(owner: object): object | null {
  for (let at: object | null = owner; at; at = Object.getPrototypeOf(at))
    if (contradictsOnClass(at)) return at;
  return null;
}

/** A class inherits the declarations and the guards of its superclass. Only its own count. */
function contradictsOnClass(target: object): boolean {
  const above: object = Object.getPrototypeOf(target) ?? Object;
  const [declared, inherited] = [declaredAccess(target), declaredAccess(above)];
  const addsDemand = demandOf(declared) !== demandOf(inherited);
  const addsPublic = declared !== inherited && declared.isPublic && !(inherited.isPublic && addsDemand);
  return addsPublic && (addsDemand || hasOurs(guardsAdded(guardsOn(target), guardsOn(above))));
}

function demandOf({ needsKey, all, any, environments }: AccessDeclaration): string {
  return JSON.stringify([needsKey, all, any, environments]);
}
