import type { DataSource } from 'typeorm';
import type { ApiKey } from '../api-key.entity';
import { type Quota, quotaOf } from '../authority';
import { bucketOf } from '../lineage';
import { quotaTable, usageTable } from '../verification/api-key.row';

const HOURS_DAYS = 7;
const DAYS_DAYS = 90;
/** A quota is spent within a month at the longest. */
const QUOTA_DAYS = 32;

/** How much a key was used in an hour or a day of UTC. */
export interface UsagePeriod {
  readonly startsAt: Date;
  /** Requests that presented the key while it was valid, refused ones included. */
  readonly requests: number;
  /** How many of them a rate limit or the quota refused. */
  readonly limited: number;
}

/** What is spent of a quota in the period that is now. */
export interface QuotaUsage extends Quota {
  readonly used: number;
  readonly remaining: number;
  /** When it begins anew. */
  readonly resetsAt: Date;
}

/** How much a key is used, newest first; hours and days without any are left out. */
export interface ApiKeyUsage {
  /** Null where the key has none. */
  readonly quota: QuotaUsage | null;
  /** Of the last 7 days. */
  readonly hours: readonly UsagePeriod[];
  /** Of the last 90 days. */
  readonly days: readonly UsagePeriod[];
}

interface UsageRow {
  readonly period: 'hour' | 'day';
  readonly starts_at: Date;
  readonly requests: string;
  readonly limited: string;
}

/** What the table says of a key; what instances have not written yet is not in it. */
export async function usageOf(dataSource: DataSource, apiKey: ApiKey): Promise<ApiKeyUsage> {
  const rows = await dataSource.query<UsageRow[]>(
    `SELECT period, starts_at, requests, limited FROM ${usageTable(dataSource)}
     WHERE key_id = $1::bigint AND (${isKept('>=')}) ORDER BY starts_at DESC`,
    [apiKey.id],
  );
  const quota = quotaOf(apiKey);
  const of = (wanted: UsageRow['period']) => rows.filter(({ period }) => period === wanted).map(usagePeriod);
  return {
    quota: quota && (await spentOf(dataSource, bucketOf(apiKey), quota)),
    hours: of('hour'),
    days: of('day'),
  };
}

/** Removes what is older than any report, and quotas of periods that are over. */
export async function removeOldUsage(dataSource: DataSource): Promise<void> {
  await dataSource.query(`DELETE FROM ${usageTable(dataSource)} WHERE ${isKept('<')}`);
  await dataSource.query(
    `DELETE FROM ${quotaTable(dataSource)} WHERE starts_at < now() - interval '${QUOTA_DAYS} days'`,
  );
}

function isKept(comparison: '>=' | '<'): string {
  const since = (period: string, days: number) =>
    `period = '${period}' AND starts_at ${comparison} now() - interval '${days} days'`;
  return `${since('hour', HOURS_DAYS)} OR ${since('day', DAYS_DAYS)}`;
}

async function spentOf(dataSource: DataSource, bucket: string, quota: Quota): Promise<QuotaUsage> {
  const [row] = await dataSource.query<[{ used: string; resets_at: Date }]>(
    `SELECT coalesce((SELECT used FROM ${quotaTable(dataSource)} WHERE key_id = $1::bigint AND period = $2 AND starts_at >= begun), 0) AS used,
       (begun AT TIME ZONE 'UTC' + ('1 ' || $2)::interval) AT TIME ZONE 'UTC' AS resets_at
     FROM date_trunc($2::text, now(), 'UTC') AS begun`,
    [bucket, quota.period],
  );
  const used = Number(row.used);
  return { ...quota, used, remaining: Math.max(0, quota.limit - used), resetsAt: row.resets_at };
}

function usagePeriod({ starts_at: startsAt, requests, limited }: UsageRow): UsagePeriod {
  return { startsAt, requests: Number(requests), limited: Number(limited) };
}
