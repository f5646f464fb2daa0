import { EXPIRY } from '../database/disabled-expiry';
import { number } from '../database/fields';
import { EQUALS } from '../database/own-names';
import { isUnused } from '../database/unused';
import type { ApiKey } from '../model/api-key.entity';
import { ApiKeyPolicyError } from '../model/api-key.errors';
import { bucketOf } from '../model/lineage';
import type { ResolvedPolicyOptions } from '../options/policy';
import type { KeyChange } from './key-change';

type Table = Pick<KeyChange, 'session' | 'table' | 'rules'>;

/**
 * SQL that says whether a key has expired, or ended because nobody used it. Of a disabled key, the
 * expiry that it gets back counts.
 */
export function hasExpired({ endUnusedAfterDays }: ResolvedPolicyOptions): string {
  return `(coalesce(${EXPIRY} <= clock_timestamp(), false) OR ${isUnused(endUnusedAfterDays)})`;
}

/** SQL that says whether a key is active. */
export function isActive(policy: ResolvedPolicyOptions): string {
  return `(disabled_at IS NULL AND ${countsAsActive(policy)})`;
}

/**
 * SQL that says whether a key counts for `maxActiveKeys`. A disabled key does, because it can be
 * enabled at any time, and must not lose its place meanwhile.
 */
export function countsAsActive(policy: ResolvedPolicyOptions): string {
  return `(revoked_at IS NULL AND NOT ${hasExpired(policy)})`;
}

/**
 * Refuses one more active key of an owner. The caller must have locked the owner.
 * @throws ApiKeyPolicyError
 */
export async function refuseOneMore(change: Table, owner: string): Promise<void> {
  const { maxActiveKeys } = change.rules.policy;
  if (maxActiveKeys === null) return;
  if ((await countActive(change, owner, maxActiveKeys)) >= maxActiveKeys) throw tooManyKeys(maxActiveKeys);
}

/**
 * Refuses a rotation with an overlap if the owner has the maximum of active keys, and an earlier
 * key of the same rotations still works. So an owner at the maximum may rotate each key, and never
 * has more than twice the maximum.
 * @throws ApiKeyPolicyError
 */
export async function refuseOverlaps(change: Table, target: ApiKey, overlapSeconds: number): Promise<void> {
  const { maxActiveKeys } = change.rules.policy;
  if (maxActiveKeys === null || overlapSeconds === 0) return;
  if ((await countActive(change, target.userId, maxActiveKeys)) < maxActiveKeys) return;
  const { session, table, rules } = change;
  const row = await session.row(
    `SELECT count(*)::text AS earlier FROM ${table}
     WHERE user_id ${EQUALS} $1 AND id <> $2::bigint AND (id = $3::bigint OR bucket_id = $3::bigint) AND ${countsAsActive(rules.policy)}`,
    [target.userId, target.id, bucketOf(target)],
  );
  if (number(row, 'earlier') === 0) return;
  throw new ApiKeyPolicyError(
    'maxActiveKeys',
    `the owner has the maximum of ${maxActiveKeys} active and disabled keys, and a key that key ${target.id} replaced has not ended: revoke that key, or rotate without overlap`,
  );
}

export function tooManyKeys(maxActiveKeys: number): ApiKeyPolicyError {
  return new ApiKeyPolicyError(
    'maxActiveKeys',
    `the owner has the maximum of ${maxActiveKeys} active and disabled keys: revoke one first`,
  );
}

/** Counts at most `limit` keys. */
async function countActive({ session, table, rules }: Table, owner: string, limit: number): Promise<number> {
  const row = await session.row(
    `SELECT count(*)::text AS active
     FROM (SELECT FROM ${table} WHERE user_id ${EQUALS} $1 AND ${countsAsActive(rules.policy)} LIMIT $2) AS counted`,
    [owner, limit],
  );
  return number(row, 'active');
}
