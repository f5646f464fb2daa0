/**
 * 9999-12-31T23:59:59.999Z: the year after it has no form that all clients can read (RFC 3339,
 * section 5.6).
 */
export const LAST_EXPIRY_MS = Date.UTC(10_000, 0) - 1;

/** An end that was computed, or that the key which acts has: within the bounds of one that is given. */
export function atMostLastExpiry(ms: number): Date {
  return new Date(Math.min(ms, LAST_EXPIRY_MS));
}
