/**
 * The scopes of an application as types. This interface is empty. An application adds its scopes.
 * Then `@Scopes` and `create` accept no other scope at compile time:
 *
 * ```ts
 * declare module 'nestjs-api-key' {
 *   interface ScopeCatalogue { 'orders:read': true; 'orders:write': true }
 * }
 * ```
 */
// biome-ignore lint/suspicious/noEmptyInterface: only an interface allows declaration merging
export interface ScopeCatalogue {}

/**
 * A scope that a route may require: a scope of the catalogue, or any text if no catalogue is
 * declared.
 */
export type Scope = [keyof ScopeCatalogue] extends [never] ? string : keyof ScopeCatalogue & string;

type Stems<S extends string> = S extends `${infer Head}:${infer Rest}`
  ? Head | `${Head}:${Stems<Rest>}`
  : never;

/**
 * A scope that a key may have: a scope of the catalogue, or a wildcard over some of these scopes.
 * If no catalogue is declared, any text.
 */
export type HeldScope = [keyof ScopeCatalogue] extends [never] ? string : Scope | '*' | `${Stems<Scope>}:*`;
