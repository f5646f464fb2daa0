/** Kinds of well-formed keys that are refused. All of them get the same answer. */
export const KINDS = ['unknown', 'revoked', 'expired', 'ownerless'] as const;
export type Kind = (typeof KINDS)[number];

export type KeysOfKinds = Readonly<Record<Kind, readonly string[]>>;

/** Keys of each kind, and the `loadUser` option that makes some keys ownerless. */
export interface RefusedKeys {
  readonly keys: KeysOfKinds;
  /** The `loadUser` option. Returns null for the owner of the ownerless keys. */
  readonly loadUser: (userId: string) => unknown;
}

/** Times in microseconds. Each kind has the same number of times, measured in random order. */
export type Block = Readonly<Record<Kind, readonly number[]>>;
