import { type InspectOptions, inspect } from 'node:util';
import type { KeyDigests } from '../credential/digest';
import { visiblePrefix, visibleSuffix } from '../credential/format';
import { API_KEY_COLUMNS, apiKeyFromRow } from '../database/api-key.row';
import type { ApiKey } from '../model/api-key.entity';
import type { Authority } from '../model/authority';
import { inspectClosed } from '../model/closed-getters';
import type { Lineage } from '../model/lineage';
import type { KeyChange } from './key-change';
import { KeyNotWritten } from './key-not-written';
import { atMostLastExpiry } from './last-expiry';

/** The values of a new row, without the key itself. */
export interface NewKey extends Authority, Lineage {
  readonly userId: string;
  readonly name: string;
  readonly metadata: Readonly<Record<string, unknown>>;
  /** null: none. */
  readonly environment: string | null;
  readonly replacesId: string | null;
}

/**
 * A new key. The raw key cannot be read again later. JSON, logs and copies of this object do not
 * contain the raw key. Read it by its name:
 * `const { key } = await keys.create(…)`.
 */
export class IssuedApiKey {
  readonly #key: string;

  constructor(
    key: string,
    readonly apiKey: ApiKey,
  ) {
    this.#key = key;
  }

  /** The raw key. */
  get key(): string {
    return this.#key;
  }

  protected [inspect.custom](depth: number, options: InspectOptions): string {
    return inspectClosed(this, depth, options);
  }
}

/** Generates a key and inserts its row. */
export async function insertKey(
  { session, table, rules }: KeyChange,
  newKey: NewKey,
  digests: KeyDigests,
): Promise<IssuedApiKey> {
  const key = rules.forms.mint(newKey.environment);
  const { userId, name, scopes, expiresAt, rateLimit, quota, allowedIps, metadata, replacesId } = newKey;
  const { ancestorIds, sharedLimits, bucketId } = newKey;
  const [row] = await session.rows(
    `INSERT INTO ${table} (user_id, name, key_digest, key_prefix, key_suffix, scopes, expires_at, rate_limit,
       rate_limit_window_seconds, quota, quota_period, allowed_ips, metadata, replaces_id,
       ancestor_ids, shared_limits, bucket_id, created_at, updated_at)
     VALUES ($1, $2, $3, $4, $5, $6, ${expiryWithin(rules.policy.maxLifetimeDays)}, $8, $9, $10, $11, ${blocksOf('$12')}, $13, $14, $15, $16, $17, now(), now())
     RETURNING ${API_KEY_COLUMNS}`,
    [
      userId,
      name,
      digests.newest(key),
      visiblePrefix(key),
      visibleSuffix(key),
      scopes,
      expiresAt && atMostLastExpiry(expiresAt.getTime()),
      rateLimit?.limit ?? null,
      rateLimit?.windowSeconds ?? null,
      quota?.limit ?? null,
      quota?.period ?? null,
      allowedIps,
      metadata,
      replacesId,
      ancestorIds.length === 0 ? null : ancestorIds,
      sharedLimits && JSON.stringify(sharedLimits),
      bucketId,
    ],
  );
  if (!row) throw new KeyNotWritten('inserts');
  return new IssuedApiKey(key, apiKeyFromRow(row, rules.derive));
}

/**
 * SQL that converts addresses and CIDR blocks to `cidr[]` and clears host bits; NULL stays NULL.
 */
export function blocksOf(parameter: string): string {
  return `(SELECT array_agg(network(ip::inet)::cidr ORDER BY place) FROM unnest(${parameter}::text[]) WITH ORDINALITY AS given (ip, place))`;
}

/** SQL of the expiry in `$7`, so that no key lives longer than the policy allows by any clock. */
function expiryWithin(maxLifetimeDays: number | null): string {
  if (maxLifetimeDays === null) return '$7';
  return `least($7::timestamptz, now() + interval '${maxLifetimeDays * 24} hours')`;
}
