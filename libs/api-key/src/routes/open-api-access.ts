import type { RouteAccess } from './route-access';
import { environmentsAccepted } from './route-environment';

/** Says what a route needs, because Swagger UI does not show the scopes of a key. */
export function describeAccess(access: RouteAccess): string {
  const groups = access.any.map((group) => `one of (${listOf(group)})`);
  const scopes = [...access.all.map(codeOf), ...groups].join(', ');
  const environments = environmentsAccepted(access);
  return [
    'Needs an API key.',
    scopes && `Scopes: ${scopes}.`,
    environments && `Environments: ${listOf(environments) || 'none'}.`,
  ]
    .filter(Boolean)
    .join(' ');
}

function listOf(names: readonly string[]): string {
  return names.map(codeOf).join(', ');
}

function codeOf(name: string): string {
  return `\`${name}\``;
}
