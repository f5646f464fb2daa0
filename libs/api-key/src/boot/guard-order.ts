import { ApiKeyGuard } from '../api-key.guard';
import { ApiKeyThrottlerGuard } from '../rate-limit/api-key-throttler.guard';
import { isGuardOf, mayAuthenticate, runsCodeOf } from '../routes/guard-class';
import { classOf } from '../routes/route-access';
import { ScopesGuard } from '../routes/scopes.guard';

const OURS = { key: ApiKeyGuard, limits: ApiKeyThrottlerGuard, scopes: ScopesGuard } as const;
type Role = keyof typeof OURS;

interface PlacedGuard {
  readonly name: string;
  /** null: a guard of the application. */
  readonly role: Role | null;
  /** Index of the list that has the guard: application, class, method. */
  readonly level: number;
  /** Whether code of the application runs, which may authenticate the request itself. */
  readonly isOfApplication: boolean;
}

/** Why the guards of a route accept no key. */
export interface OrderFault {
  readonly text: string;
  /** False: a guard of the application may authenticate the request before. */
  readonly isCertain: boolean;
}

/** @param levels the guards of the application, of the class and of the method */
export function orderFault(levels: readonly unknown[][]): OrderFault | null {
  const guards = placed(levels);
  const at = guards.findIndex(({ role }) => role !== null);
  const first = guards[at];
  if (!first || first.role === 'key') return null;
  const key = guards.find(({ role }) => role === 'key');
  const isCertain = !guards.slice(0, at + 1).some(({ isOfApplication }) => isOfApplication);
  if (!key) return isCertain ? { text: `${first.name} runs without ApiKeyGuard`, isCertain } : null;
  const text = `${first.name} runs before ${key.name}`;
  return { text, isCertain: isCertain || key.level === first.level };
}

/** Whether ScopesGuard runs before limits, so that the requests that it refuses count nothing. */
export function limitsComeLate(levels: readonly unknown[][]): boolean {
  const roles = placed(levels).map(({ role }) => role);
  const [limits, scopes] = [roles.indexOf('limits'), roles.indexOf('scopes')];
  return scopes >= 0 && limits > scopes;
}

function placed(levels: readonly unknown[][]): PlacedGuard[] {
  return levels.flatMap((guards, level) => guards.map((guard) => ({ ...describe(guard), level })));
}

function describe(guard: unknown): Omit<PlacedGuard, 'level'> {
  const role = (Object.keys(OURS) as Role[]).find((each) => isGuardOf(guard, OURS[each])) ?? null;
  const { name } = classOf(guard) as { readonly name: string };
  if (role === null) return { name, role, isOfApplication: mayAuthenticate(guard) };
  const shown = hasName(name) ? name : `a class that extends ${OURS[role].name}`;
  return { name: shown, role, isOfApplication: !runsCodeOf(guard, OURS[role]) };
}

/** A mixin returns a class without a name. `mixin` of Nest gives it random hex digits. */
function hasName(name: string): boolean {
  return name !== '' && !/^[0-9a-f]{21}$/.test(name);
}
