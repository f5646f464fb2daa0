/** Well-formed keys that are refused, all with the same answer. */
export const KINDS = ['unknown', 'revoked', 'expired', 'ownerless'] as const;
export type Kind = (typeof KINDS)[number];

/** Keys of each kind. */
export type KeysOfKinds = Readonly<Record<Kind, readonly string[]>>;

/** Keys of each kind, and what they are judged by. */
export interface RefusedKeys {
  readonly keys: KeysOfKinds;
  /** As the option: nobody for the owner of the ownerless keys. */
  readonly loadUser: (userId: string) => unknown;
}

/** Times that were taken one after the other, in microseconds: as many of each kind, in random order. */
export type Block = Readonly<Record<Kind, readonly number[]>>;
