/** RFC 6749 §3.3 `scope-token`: printable ASCII without space, `"` and `\`. */
const SCOPE_TOKEN = /^[\x21\x23-\x5b\x5d-\x7e]{1,255}$/;

const NONE: readonly string[] = [];

/** What a route asks for: every scope of `all`, and of each group in `any` at least one. */
export interface ScopeDemand {
  readonly all: readonly string[];
  readonly any: readonly (readonly string[])[];
}

/** Whether text can be a scope: 1 to 255 characters of RFC 6749 `scope-token`. */
export function isScope(text: unknown): text is string {
  return typeof text === 'string' && SCOPE_TOKEN.test(text);
}

/** Whether a scope ends in a wildcard: `orders:*` or `*`. */
export function isWildcard(scope: string): boolean {
  return scope === '*' || scope.endsWith(':*');
}

/** Whether one held scope grants a wanted one: `*` grants all, `orders:*` grants `orders:read`, never `orders`. */
export function scopeGrants(held: string, wanted: string): boolean {
  if (held === wanted || held === '*') return true;
  if (!held.endsWith(':*')) return false;
  const stem = held.slice(0, -1);
  return wanted.length > stem.length && wanted.startsWith(stem);
}

/** Whether any of the held scopes grants the wanted one. */
export function holdsScope(held: readonly string[], wanted: string): boolean {
  return held.includes(wanted) || held.some((scope) => scopeGrants(scope, wanted));
}

/** The scopes that are asked for and not held: each one of `all`, and the whole of each `any` group without one. */
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

/** Whether a catalogue knows a scope; a wildcard is known where it grants at least one scope of the catalogue. */
export function isInCatalogue(catalogue: readonly string[], scope: string): boolean {
  return catalogue.some((known) => known === scope || (isWildcard(scope) && scopeGrants(scope, known)));
}
