const MAX_BIGINT = 9_223_372_036_854_775_807n;

/** Returns whether a text can be the id of a row: a positive bigint without leading zeros. */
export function isId(text: string): boolean {
  return /^[1-9]\d{0,18}$/.test(text) && BigInt(text) <= MAX_BIGINT;
}
