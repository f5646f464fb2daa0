import { isScope, isWildcard } from '../credential/scope';
import { type Check, isPlainObject, rule } from './checks';

/** Checks the catalogue of scopes; null: any scope. */
export function checkCatalogue(value: unknown, name: string): ReturnType<Check> {
  const wanted = 'an object of scopes and what each allows, such as { "orders:read": "Read orders" }';
  if (value === null) return [];
  if (!isPlainObject(value)) return rule(() => false, wanted)(value, name);
  return rule(() => Object.entries(value).every(isCatalogued), `${wanted}, without wildcards`)(value, name);
}

function isCatalogued([scope, text]: [string, unknown]): boolean {
  return isScope(scope) && !isWildcard(scope) && typeof text === 'string';
}
