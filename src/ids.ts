const MAX_BIGINT = 9_223_372_036_854_775_807n;

/** Whether text can be the id of a row; any other is the id of none. */
export function isId(text: string): boolean {
  return /^[1-9]\d{0,18}$/.test(text) && BigInt(text) <= MAX_BIGINT;
}
