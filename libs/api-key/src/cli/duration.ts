const SECONDS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3_600, d: 86_400, w: 604_800 };
const MAX_MS = 100 * 366 * 86_400_000;

/**
 * Parses a duration such as `90d`: a whole number of s, m, h, d or w, up to 100 years.
 * @returns milliseconds, or null if the text is not a duration
 */
export function parseDuration(text: string): number | null {
  const match = /^(\d{1,12})([smhdw])$/.exec(text);
  const ms = Number(match?.[1]) * (SECONDS[match?.[2] ?? ''] ?? Number.NaN) * 1_000;
  return ms > 0 && ms <= MAX_MS ? ms : null;
}
