import { guardsAdded, guardsOn, hasOurs, isGuarded } from './route-access';
import { type AccessDeclaration, declaredAccess } from './scopes.decorator';

/**
 * Whether `@Public` stands on a method beside a guard of this library, `@Scopes`, `@AnyScope`,
 * `@Environments` or `@ApiKeyAuth`.
 */
export function contradictsOnMethod(handler: object): boolean {
  const { timesPublic, needsKey } = declaredAccess(handler);
  return timesPublic > 0 && (needsKey || isGuarded(handler));
}

/** What `@Public` on a class contradicts: decorators beside it, or those of a superclass. */
export interface ClassContradiction {
  readonly type: object;
  readonly isInherited: boolean;
}

/** The contradictions on a class, or on the nearest class that it extends and that has any. */
export function classContradiction(owner: object): ClassContradiction | null {
  for (let at: object | null = owner; at; at = Object.getPrototypeOf(at)) {
    const found = contradictionOn(at);
    if (found) return found;
  }
  return null;
}

/**
 * A class inherits the declarations and the guards of its superclass. Only its own `@Public`
 * counts. It has priority over inherited guards, but not over inherited declarations.
 */
function contradictionOn(target: object): ClassContradiction | null {
  const above: object = Object.getPrototypeOf(target) ?? Object;
  const [declared, inherited] = [declaredAccess(target), declaredAccess(above)];
  const addsDemand = demandOf(declared) !== demandOf(inherited);
  if (declared.timesPublic === inherited.timesPublic) return null;
  const isBeside = addsDemand || hasOurs(guardsAdded(guardsOn(target), guardsOn(above)));
  return isBeside || inherited.needsKey ? { type: target, isInherited: !isBeside } : null;
}

function demandOf({ needsKey, all, any, environments }: AccessDeclaration): string {
  return JSON.stringify([needsKey, all, any, environments]);
}
