import type { ApplicationConfig } from '@nestjs/core';

/** A module and a provider, as Nest holds them. */
type Host = NonNullable<ReturnType<ApplicationConfig['getGlobalRequestGuards']>[number]['host']>;
type Wrapper = Host['providers'] extends Map<unknown, infer Each> ? Each : never;
type Token = Wrapper['token'];

/**
 * The guard of a request-scoped APP_GUARD: its class, or the guard itself if the provider that it
 * names by `useExisting` exists already. If a factory creates it for each request: the factory.
 */
export function guardBehind(wrapper: Wrapper): unknown {
  if (!wrapper.isAlias) return wrapper.metatype;
  const token = (wrapper.inject as Token[])[0] as Token;
  const named = wrapper.host && providerIn(wrapper.host, token);
  if (!named) return token;
  if (named.isAlias) return guardBehind(named);
  return (named.isDependencyTreeStatic() && named.instance) || named.metatype;
}

/** The provider that a token means in a module: its own, or one that an imported module exports. */
function providerIn(host: Host, token: Token): Wrapper | undefined {
  return host.providers.get(token) ?? exportedBy([...host.imports], token, new Set());
}

function exportedBy(modules: readonly Host[], token: Token, seen: Set<Host>): Wrapper | undefined {
  for (const module of modules) {
    if (seen.has(module)) continue;
    seen.add(module);
    const own = module.exports.has(token) ? module.providers.get(token) : undefined;
    const found = own ?? exportedBy(reexportedBy(module), token, seen);
    if (found) return found;
  }
  return undefined;
}

function reexportedBy({ imports, exports }: Host): Host[] {
  return [...imports].filter(({ metatype }) => exports.has(metatype));
}
