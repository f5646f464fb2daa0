/**
 * RFC 6749 §3.3 `scope-token`: printable ASCII without space, `"` and `\`. At most 255 characters.
 */
const SCOPE_TOKEN = /^[\x21\x23-\x5b\x5d-\x7e]{1,255}$/;

const NONE: readonly string[] = [];

/**
 * The scopes that a route requires: all scopes of `all`, and at least one scope of each group in
 * `any`.
 */
export interface ScopeDemand {
  readonly all: readonly string[];
  readonly any: readonly (readonly string[])[];
}

/** Returns whether a value can be a scope: 1 to 255 characters of RFC 6749 `scope-token`. */
export function isScope(text: unknown): text is string {
  return typeof text === 'string' && SCOPE_TOKEN.test(text);
}

/** Returns whether a scope is a wildcard: `*`, or a scope that ends in `:*`, such as `orders:*`. */
export function isWildcard(scope: string): boolean {
  return scope === '*' || scope.endsWith(':*');
}

/**
 * Returns whether a scope of a key grants a required scope. `*` grants all scopes. `orders:*`
 * grants `orders:read`, but never `orders`.
 */
export function scopeGrants(held: string, wanted: string): boolean {
  if (held === wanted || held === '*') return true;
  if (!held.endsWith(':*')) return false;
  const stem = held.slice(0, -1);
  return wanted.length > stem.length && wanted.startsWith(stem);
}

/** Returns the wildcards that grant a scope: `*` and `orders:*` for `orders:read`. */
export function wildcardsOf(scope: string): string[] {
  const stems = [...scope.matchAll(/:/g)].map(({ index }) => scope.slice(0, index + 1));
  const wildcards = ['*', ...stems.map((stem) => `${stem}*`)];
  return wildcards.filter((held) => held !== scope && scopeGrants(held, scope));
}

/** Returns whether at least one scope of a key grants the required scope. */
export function holdsScope(held: readonly string[], wanted: string): boolean {
  return held.includes(wanted) || held.some((scope) => scopeGrants(scope, wanted));
}

/**
 * Returns the required scopes that a key lacks: each missing scope of `all`, and all scopes of each
 * `any` group of which the key has no scope.
 */
export function missingScopes(held: readonly string[], demand: ScopeDemand): readonly string[] {
  if (isMet(held, demand)) return NONE;
  const needed = demand.all.filter((scope) => !holdsScope(held, scope));
  const choices = demand.any.filter((group) => !group.some((scope) => holdsScope(held, scope)));
  return [...new Set([...needed, ...choices.flat()])];
}

function isMet(held: readonly string[], { all, any }: ScopeDemand): boolean {
  for (const scope of all) if (!holdsScope(held, scope)) return false;
  return any.length === 0 || any.every((group) => group.some((scope) => holdsScope(held, scope)));
}

/**
 * Returns whether a catalogue contains a scope. The catalogue contains a wildcard if the wildcard
 * grants at least one scope of the catalogue.
 */
export function isInCatalogue(catalogue: readonly string[], scope: string): boolean {
  return catalogue.some((known) => known === scope || (isWildcard(scope) && scopeGrants(scope, known)));
}
