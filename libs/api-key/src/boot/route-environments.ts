import { isGuardOf } from '../routes/guard-class';
import { environmentsAccepted } from '../routes/route-environment';
import type { Route } from '../routes/route-inventory';
import { ScopesGuard } from '../routes/scopes.guard';

/**
 * The faults of the environments that a route accepts: names that option `prefix` lacks, no name
 * that all decorators share, and no guard that checks them.
 */
export function environmentProblems(
  { name, access: { environments, isPublic } }: Route,
  guards: readonly unknown[],
  known: readonly string[],
): string[] {
  if (environments.length === 0 || isPublic) return [];
  const unknown = [...new Set(environments.flat())].filter((each) => !known.includes(each));
  const problems = unknown.map(
    (each) => `${name} accepts the environment "${each}", which option "prefix" does not have`,
  );
  if (problems.length === 0 && environmentsAccepted({ environments })?.length === 0)
    problems.push(`${name} accepts no key, because its @Environments share no environment`);
  if (!guards.some((guard) => isGuardOf(guard, ScopesGuard)))
    problems.push(
      `${name} has @Environments that no guard checks: add @UseGuards(ApiKeyGuard, ScopesGuard) or use @ApiKeyAuth; your own guard must extend ScopesGuard`,
    );
  return problems;
}
