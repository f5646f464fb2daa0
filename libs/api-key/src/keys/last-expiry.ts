/**
 * 9999-12-31T23:59:59.999Z, because not all clients can read a later year (RFC 3339, section 5.6).
 */
export const LAST_EXPIRY_MS = Date.UTC(10_000, 0) - 1;

/**
 * Limits an expiry to `LAST_EXPIRY_MS`, which is also the maximum of the input. For an expiry that
 * was computed, or copied from the acting key.
 */
export function atMostLastExpiry(ms: number): Date {
  return new Date(Math.min(ms, LAST_EXPIRY_MS));
}
