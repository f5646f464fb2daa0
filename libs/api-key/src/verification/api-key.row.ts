import type { DataSource } from 'typeorm';
import { ApiKey, dateOrNull, idsOrNone, scopesOrNone } from '../api-key.entity';
import { sharedLimitsOrNone } from '../shared-limits';
import { quoteName } from '../sql-name';

/** The columns of `ApiKeyRow`, for SELECT and RETURNING. */
export const API_KEY_COLUMNS =
  'id, user_id, name, key_prefix, key_suffix, scopes, last_used_at, expires_at, revoked_at, rate_limit, ' +
  'rate_limit_window_seconds, quota, quota_period, allowed_ips, metadata, replaces_id, ancestor_ids, ' +
  'shared_limits, bucket_id, created_at, updated_at';

/** A row of `api_keys` as the driver gives it. */
export interface ApiKeyRow {
  readonly id: unknown;
  readonly user_id: unknown;
  readonly name: string;
  readonly key_prefix: string;
  readonly key_suffix: string | null;
  readonly scopes: unknown;
  readonly last_used_at: unknown;
  readonly expires_at: unknown;
  readonly revoked_at: unknown;
  readonly rate_limit: number | null;
  readonly rate_limit_window_seconds: number | null;
  readonly quota: number | null;
  readonly quota_period: string | null;
  readonly allowed_ips: string[] | null;
  readonly metadata: Record<string, unknown>;
  readonly replaces_id: unknown;
  readonly ancestor_ids: unknown;
  readonly shared_limits: unknown;
  readonly bucket_id: unknown;
  readonly created_at: unknown;
  readonly updated_at: unknown;
}

/** The entity of a row; it has no digest. */
export function apiKeyFromRow(row: ApiKeyRow): ApiKey {
  const apiKey = new ApiKey();
  apiKey.id = String(row.id);
  apiKey.userId = String(row.user_id);
  apiKey.name = row.name;
  apiKey.keyPrefix = row.key_prefix;
  apiKey.keySuffix = row.key_suffix;
  apiKey.scopes = scopesOrNone(row.scopes);
  apiKey.lastUsedAt = dateOrNull(row.last_used_at);
  apiKey.expiresAt = dateOrNull(row.expires_at);
  apiKey.revokedAt = dateOrNull(row.revoked_at);
  apiKey.rateLimit = row.rate_limit;
  apiKey.rateLimitWindowSeconds = row.rate_limit_window_seconds;
  apiKey.quota = row.quota;
  apiKey.quotaPeriod = row.quota_period;
  apiKey.allowedIps = row.allowed_ips;
  apiKey.metadata = row.metadata;
  apiKey.replacesId = row.replaces_id === null ? null : String(row.replaces_id);
  apiKey.ancestorIds = idsOrNone(row.ancestor_ids);
  apiKey.sharedLimits = sharedLimitsOrNone(row.shared_limits);
  apiKey.bucketId = row.bucket_id === null ? null : String(row.bucket_id);
  apiKey.createdAt = dateOrNull(row.created_at) ?? new Date(Number.NaN);
  apiKey.updatedAt = dateOrNull(row.updated_at) ?? new Date(Number.NaN);
  return apiKey;
}

/** The table's name, quoted, with its schema where the data source names one. */
export function apiKeyTable(dataSource: DataSource): string {
  return quoteName(dataSource.getMetadata(ApiKey).tablePath);
}

/** The name of the table that holds the trail, beside that of the keys. */
export function eventTable(dataSource: DataSource): string {
  return besideKeys(dataSource, 'api_key_events');
}

/** The name of the table that holds how long instances trust what they remember. */
export function trustTable(dataSource: DataSource): string {
  return besideKeys(dataSource, 'api_key_trust');
}

/** The name of the table of transactions whose changes were not notified. */
export function silentTable(dataSource: DataSource): string {
  return besideKeys(dataSource, 'api_key_silent_changes');
}

/** The name of the table that holds what is spent of quotas. */
export function quotaTable(dataSource: DataSource): string {
  return besideKeys(dataSource, 'api_key_quotas');
}

/** The name of the table that holds how much keys are used. */
export function usageTable(dataSource: DataSource): string {
  return besideKeys(dataSource, 'api_key_usage');
}

/** The quoted name of anything else of ours, in the schema of the table of keys. */
export function besideKeys(dataSource: DataSource, name: string): string {
  return quoteName(dataSource.getMetadata(ApiKey).tablePath.replace(/api_keys$/, name));
}

/** Token of the TypeORM data source that the keys live in. */
export const API_KEY_DATA_SOURCE = Symbol('API_KEY_DATA_SOURCE');
