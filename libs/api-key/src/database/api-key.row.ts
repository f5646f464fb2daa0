import { ApiKey, idsOrNone, scopesOrNone } from '../model/api-key.entity';
import { sharedLimitsOrNone } from '../model/limits';
import type { Row } from './as-text';
import { dateOrNull, jsonOrNull, moment, numberOrNull, text, textOrNull } from './fields';
import { asJson, asText } from './own-names';

/** How a column is made text: as it is, a moment, or JSON. */
const AS_IS = asText;
const AS_MOMENT = moment;
const AS_JSON = asJson;
const AS_LIST = (column: string) => asJson(`${column}::pg_catalog.text[]`);
/** A key that never ends may say so in two ways. */
const AS_END = (column: string) =>
  `CASE WHEN ${column} OPERATOR(pg_catalog.<>) 'infinity' THEN ${moment(column)} END`;

const COLUMNS: Readonly<Record<string, (column: string) => string>> = {
  id: AS_IS,
  user_id: AS_IS,
  name: AS_IS,
  key_prefix: AS_IS,
  key_suffix: AS_IS,
  scopes: AS_JSON,
  last_used_at: AS_MOMENT,
  expires_at: AS_END,
  revoked_at: AS_MOMENT,
  rate_limit: AS_IS,
  rate_limit_window_seconds: AS_IS,
  quota: AS_IS,
  quota_period: AS_IS,
  allowed_ips: AS_LIST,
  metadata: AS_IS,
  replaces_id: AS_IS,
  ancestor_ids: AS_LIST,
  shared_limits: AS_IS,
  bucket_id: AS_IS,
  created_at: AS_MOMENT,
  updated_at: AS_MOMENT,
};

/** All columns of a key but its digest, for SELECT and RETURNING. */
export const API_KEY_COLUMNS = Object.entries(COLUMNS)
  .map(([name, asText]) => `${asText(name)} AS ${name}`)
  .join(', ');

/**
 * The entity of a row of `API_KEY_COLUMNS`; it has no digest.
 * @throws UnreadableValue if a value is not of its column's kind
 */
export function apiKeyFromRow(row: Row): ApiKey {
  const apiKey = new ApiKey();
  apiKey.id = text(row, 'id');
  apiKey.userId = text(row, 'user_id');
  apiKey.name = text(row, 'name');
  apiKey.keyPrefix = text(row, 'key_prefix');
  apiKey.keySuffix = textOrNull(row, 'key_suffix');
  apiKey.scopes = scopesOrNone(jsonOrNull(row, 'scopes'));
  apiKey.lastUsedAt = dateOrNull(row, 'last_used_at');
  apiKey.expiresAt = dateOrNull(row, 'expires_at');
  apiKey.revokedAt = dateOrNull(row, 'revoked_at');
  apiKey.rateLimit = numberOrNull(row, 'rate_limit');
  apiKey.rateLimitWindowSeconds = numberOrNull(row, 'rate_limit_window_seconds');
  apiKey.quota = numberOrNull(row, 'quota');
  apiKey.quotaPeriod = textOrNull(row, 'quota_period');
  apiKey.allowedIps = jsonOrNull(row, 'allowed_ips') as string[] | null;
  apiKey.metadata = jsonOrNull(row, 'metadata') as Record<string, unknown>;
  apiKey.replacesId = textOrNull(row, 'replaces_id');
  apiKey.ancestorIds = idsOrNone(jsonOrNull(row, 'ancestor_ids'));
  apiKey.sharedLimits = sharedLimitsOrNone(jsonOrNull(row, 'shared_limits'));
  apiKey.bucketId = textOrNull(row, 'bucket_id');
  apiKey.createdAt = dateOrNull(row, 'created_at') ?? new Date(Number.NaN);
  apiKey.updatedAt = dateOrNull(row, 'updated_at') ?? new Date(Number.NaN);
  return apiKey;
}
