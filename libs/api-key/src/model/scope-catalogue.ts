/**
 * The scopes of an application as types. Empty here; an application fills it, and then `@Scopes` and
 * `create` accept no other scope at compile time:
 *
 * ```ts
 * declare module 'nestjs-api-key' {
 *   interface ScopeCatalogue { 'orders:read': true; 'orders:write': true }
 * }
 * ```
 */
// biome-ignore lint/suspicious/noEmptyInterface: applications add their scopes to it by declaration merging, which only an interface allows
export interface ScopeCatalogue {}

/** A scope that a route may ask for: one of the catalogue's, or any text where no catalogue is declared. */
export type Scope = [keyof ScopeCatalogue] extends [never] ? string : keyof ScopeCatalogue & string;

type Stems<S extends string> = S extends `${infer Head}:${infer Rest}`
  ? Head | `${Head}:${Stems<Rest>}`
  : never;

/** A scope that a key may hold: one of the catalogue's, or a wildcard over some of them. */
export type HeldScope = [keyof ScopeCatalogue] extends [never] ? string : Scope | '*' | `${Stems<Scope>}:*`;
