import type { QuotaPeriod } from '../model/limits';

/** A calendar period, both ends in milliseconds since 1970. */
export interface CalendarPeriod {
  readonly startsAt: number;
  /** The first moment of the next one. */
  readonly endsAt: number;
}

/** The day or month of UTC that a moment is in. */
export function periodAt(period: QuotaPeriod, atMs: number): CalendarPeriod {
  const at = new Date(atMs);
  const [year, month, day] = [at.getUTCFullYear(), at.getUTCMonth(), at.getUTCDate()];
  return period === 'day'
    ? { startsAt: Date.UTC(year, month, day), endsAt: Date.UTC(year, month, day + 1) }
    : { startsAt: Date.UTC(year, month), endsAt: Date.UTC(year, month + 1) };
}
