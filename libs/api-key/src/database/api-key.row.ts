import { ApiKey, idsOrNone, scopesOrNone } from '../model/api-key.entity';
import { sharedLimitsOrNone } from '../model/limits';
import type { Row } from './as-text';
import { IS_EXPIRY_SAVED } from './disabled-expiry';
import { dateOrNull, jsonOrNull, moment, numberOrNull, text, textOrNull } from './fields';
import { asJson, asText } from './own-names';

/** Fields of a key that are columns of its table, except the digest. */
export type Field = Exclude<
  keyof ApiKey,
  'keyDigest' | 'environment' | 'endsUnusedAt' | 'masked' | 'isExpired' | 'stateAt' | 'hasScope'
>;

/** Sets the fields of a key that are not columns. */
export type DeriveFields = (apiKey: ApiKey) => void;

/** How a column is read into a field. */
export interface Column<Value> {
  readonly name: string;
  /** Returns SQL that casts the column to text. */
  readonly asText: (column: string) => string;
  /** @throws UnreadableValue if the text cannot be parsed */
  readonly read: (row: Row, name: string) => Value;
}

const asList = (column: string) => asJson(`${column}::pg_catalog.text[]`);
/**
 * SQL of a time at which a key ends. NULL and `infinity` mean that the key never ends. Both become
 * null.
 */
const asEnd = (column: string) =>
  `CASE WHEN ${column} OPERATOR(pg_catalog.<>) 'infinity' THEN ${moment(column)} END`;
/**
 * SQL of the expiry of a key, like `EXPIRY`, but cast to text, because the columns may have
 * different types.
 */
const asExpiry = (column: string) =>
  `CASE WHEN ${IS_EXPIRY_SAVED} THEN ${asEnd('enabled_expires_at')} ELSE ${asEnd(column)} END`;
const dateOrInvalid = (row: Row, name: string) => dateOrNull(row, name) ?? new Date(Number.NaN);

const COLUMNS: { readonly [Name in Field]: Column<ApiKey[Name]> } = {
  id: { name: 'id', asText, read: text },
  userId: { name: 'user_id', asText, read: text },
  name: { name: 'name', asText, read: text },
  keyPrefix: { name: 'key_prefix', asText, read: text },
  keySuffix: { name: 'key_suffix', asText, read: textOrNull },
  scopes: { name: 'scopes', asText: asJson, read: (row, name) => scopesOrNone(jsonOrNull(row, name)) },
  lastUsedAt: { name: 'last_used_at', asText: moment, read: dateOrNull },
  expiresAt: { name: 'expires_at', asText: asExpiry, read: dateOrNull },
  revokedAt: { name: 'revoked_at', asText: moment, read: dateOrNull },
  disabledAt: { name: 'disabled_at', asText: moment, read: dateOrNull },
  disabledById: { name: 'disabled_by_id', asText, read: textOrNull },
  enabledExpiresAt: { name: 'enabled_expires_at', asText: asEnd, read: dateOrNull },
  rateLimit: { name: 'rate_limit', asText, read: numberOrNull },
  rateLimitWindowSeconds: { name: 'rate_limit_window_seconds', asText, read: numberOrNull },
  quota: { name: 'quota', asText, read: numberOrNull },
  quotaPeriod: { name: 'quota_period', asText, read: textOrNull },
  allowedIps: {
    name: 'allowed_ips',
    asText: asList,
    read: (row, name) => jsonOrNull(row, name) as string[] | null,
  },
  metadata: {
    name: 'metadata',
    asText,
    read: (row, name) => jsonOrNull(row, name) as Record<string, unknown>,
  },
  replacesId: { name: 'replaces_id', asText, read: textOrNull },
  ancestorIds: {
    name: 'ancestor_ids',
    asText: asList,
    read: (row, name) => idsOrNone(jsonOrNull(row, name)),
  },
  sharedLimits: {
    name: 'shared_limits',
    asText,
    read: (row, name) => sharedLimitsOrNone(jsonOrNull(row, name)),
  },
  bucketId: { name: 'bucket_id', asText, read: textOrNull },
  createdAt: { name: 'created_at', asText: moment, read: dateOrInvalid },
  updatedAt: { name: 'updated_at', asText: moment, read: dateOrInvalid },
};

/** The column of each field. */
export const FIELDS = Object.entries(COLUMNS) as [Field, Column<unknown>][];

/** SQL list of all columns of a key except the digest, for SELECT and RETURNING. */
export const API_KEY_COLUMNS = FIELDS.map(([, { name, asText }]) => `${asText(name)} AS ${name}`).join(', ');

/**
 * Returns the entity for a row of `API_KEY_COLUMNS`. The entity has no digest.
 * @param derive sets the fields that are not columns
 * @throws UnreadableValue if a value cannot be parsed
 */
export function apiKeyFromRow(row: Row, derive: DeriveFields): ApiKey {
  const fields: Partial<Record<Field, unknown>> = new ApiKey();
  for (const [field, { name, read }] of FIELDS) fields[field] = read(row, name);
  derive(fields as ApiKey);
  return fields as ApiKey;
}
