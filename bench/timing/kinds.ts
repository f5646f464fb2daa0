/** Kinds of well-formed keys that are refused. All kinds get the same response. */
export const KINDS = ['unknown', 'revoked', 'expired', 'ownerless'] as const;
export type Kind = (typeof KINDS)[number];

export type KeysOfKinds = Readonly<Record<Kind, readonly string[]>>;

/** Keys of each kind, and the `loadUser` option that finds no owner for the ownerless keys. */
export interface RefusedKeys {
  readonly keys: KeysOfKinds;
  /** Option `loadUser`. Returns `null` for the owner of the ownerless keys. */
  readonly loadUser: (userId: string) => unknown;
}

/**
 * Times of each kind of key, in microseconds. Each kind has the same number of times, measured in
 * random order.
 */
export type Block = Readonly<Record<Kind, readonly number[]>>;
