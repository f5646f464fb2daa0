/** Well-formed keys that are refused, all with the same answer. */
export const KINDS = ['unknown', 'revoked', 'expired'] as const;
export type Kind = (typeof KINDS)[number];

/** Keys of each kind. */
export type RefusedKeys = Readonly<Record<Kind, readonly string[]>>;

/** Times that were taken one after the other, in microseconds: as many of each kind, in random order. */
export type Block = Readonly<Record<Kind, readonly number[]>>;
