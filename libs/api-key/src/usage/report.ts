import type { Row } from '../database/as-text';
import type { Database } from '../database/database';
import { date, moment, number, text } from '../database/fields';
import type { Session } from '../database/session';
import type { ReadTurn } from '../database/turns';
import type { ApiKey } from '../model/api-key.entity';
import { quotaOf } from '../model/authority';
import { type Quota } from '../model/limits';
import { bucketOf } from '../model/lineage';

const HOURS_DAYS = 7;
const DAYS_DAYS = 90;
/** Days after which a quota row is deleted. No quota period is longer than a month. */
const QUOTA_DAYS = 32;

/** Usage of a key in one UTC hour or day. */
export interface UsagePeriod {
  readonly startsAt: Date;
  /** Number of requests with the key while it was valid, including refused requests. */
  readonly requests: number;
  /** Number of requests that a rate limit or the quota of the key refused. */
  readonly limited: number;
}

/** Usage of a quota in the current period. */
export interface QuotaUsage extends Quota {
  readonly used: number;
  readonly remaining: number;
  /** Time at which the next period starts. */
  readonly resetsAt: Date;
}

/** Usage of a key, newest period first. Hours and days without requests are omitted. */
export interface ApiKeyUsage {
  /** Usage of the key's quota, or null if the key has no quota. */
  readonly quota: QuotaUsage | null;
  /** Usage in the hours of the last 7 days. */
  readonly hours: readonly UsagePeriod[];
  /** Usage on the days of the last 90 days. */
  readonly days: readonly UsagePeriod[];
}

/**
 * Reads the usage of a key from the database. Counts that instances have not written yet are
 * missing.
 */
export function usageOf(database: Database, apiKey: ApiKey, turn: ReadTurn): Promise<ApiKeyUsage> {
  return database.read((session) => reportOf(session, apiKey), turn);
}

async function reportOf(session: Session, apiKey: ApiKey): Promise<ApiKeyUsage> {
  const { usage } = session.tables;
  const rows = await session.rows(
    `SELECT period::text, ${moment('starts_at')} AS starts_at, requests::text, limited::text FROM ${usage} u
     WHERE key_id = $1::bigint AND (${isKept('>=')}) ORDER BY u.starts_at DESC`,
    [apiKey.id],
  );
  const quota = quotaOf(apiKey);
  const of = (wanted: 'hour' | 'day') =>
    rows.filter((row) => text(row, 'period') === wanted).map(usagePeriod);
  return {
    quota: quota && (await spentOf(session, bucketOf(apiKey), quota)),
    hours: of('hour'),
    days: of('day'),
  };
}

/** Deletes counts that are too old for any report, and rows of past quota periods. */
export function removeOldUsage(database: Database): Promise<void> {
  return database.transaction(async (session) => {
    const { usage, quotas } = session.tables;
    await session.run(`DELETE FROM ${usage} WHERE ${isKept('<')}`);
    await session.run(`DELETE FROM ${quotas} WHERE starts_at < now() - interval '${QUOTA_DAYS} days'`);
  });
}

function isKept(comparison: '>=' | '<'): string {
  const since = (period: string, days: number) =>
    `period = '${period}' AND starts_at ${comparison} now() - interval '${days} days'`;
  return `${since('hour', HOURS_DAYS)} OR ${since('day', DAYS_DAYS)}`;
}

async function spentOf(session: Session, bucket: string, quota: Quota): Promise<QuotaUsage> {
  const resetsAt = "(begun AT TIME ZONE 'UTC' + ('1 ' || $2)::interval) AT TIME ZONE 'UTC'";
  const row = await session.row(
    `SELECT coalesce((SELECT used FROM ${session.tables.quotas} WHERE key_id = $1::bigint AND period = $2 AND starts_at >= begun), 0)::text AS used,
       ${moment('resets')} AS resets_at
     FROM date_trunc($2::text, now(), 'UTC') AS begun, LATERAL (SELECT ${resetsAt} AS resets) AS ends`,
    [bucket, quota.period],
  );
  const used = number(row, 'used');
  return { ...quota, used, remaining: Math.max(0, quota.limit - used), resetsAt: date(row, 'resets_at') };
}

function usagePeriod(row: Row): UsagePeriod {
  return {
    startsAt: date(row, 'starts_at'),
    requests: number(row, 'requests'),
    limited: number(row, 'limited'),
  };
}
