import type { QuotaPeriod } from '../model/limits';

/** A calendar period. Both ends are in milliseconds since 1970-01-01 UTC. */
export interface CalendarPeriod {
  readonly startsAt: number;
  /** Start of the next period. */
  readonly endsAt: number;
}

/** Returns the UTC day or month that contains a time. */
export function periodAt(period: QuotaPeriod, atMs: number): CalendarPeriod {
  const at = new Date(atMs);
  const [year, month, day] = [at.getUTCFullYear(), at.getUTCMonth(), at.getUTCDate()];
  return period === 'day'
    ? { startsAt: Date.UTC(year, month, day), endsAt: Date.UTC(year, month, day + 1) }
    : { startsAt: Date.UTC(year, month), endsAt: Date.UTC(year, month + 1) };
}
