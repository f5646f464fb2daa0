import { number, text } from '../database/fields';
import { EQUALS } from '../database/own-names';
import type { ApiKey } from '../model/api-key.entity';
import { ownShare } from '../model/authority';
import { bucketOf } from '../model/lineage';
import { batchesOf, idsOfLineage } from './descendants';
import { authorityOf, refuseTooManyLimits } from './key-authority';
import type { KeyChange } from './key-change';
import { KeyNotWritten } from './key-not-written';

/** A value that is not a list is kept as an item, because an unreadable limit allows nothing. */
const LIST =
  "CASE coalesce(jsonb_typeof(shared_limits), 'null') WHEN 'array' THEN shared_limits WHEN 'null' THEN '[]' ELSE jsonb_build_array(shared_limits) END";

/**
 * Replaces each copy of bucket `$1` in the list by `$4`, a list with one limit or none. The order
 * stays. If the list has no copy of the bucket, `$4` is appended.
 */
const CHANGED = `nullif(
    coalesce((
      SELECT jsonb_agg(CASE WHEN l ->> 'id' = $1::text THEN $4::jsonb -> 0 ELSE l END ORDER BY place)
      FROM jsonb_array_elements(${LIST}) WITH ORDINALITY AS listed (l, place)
      WHERE l ->> 'id' IS DISTINCT FROM $1::text OR $4::jsonb <> '[]'
    ), '[]') || CASE WHEN ${LIST} @> jsonb_build_array(jsonb_build_object('id', $1::text)) THEN '[]' ELSE $4::jsonb END,
    '[]')`;

/**
 * Copies the changed limits of a key into its descendants, and into keys that already share these
 * limits. From then on, requests with those keys count on the changed limits. Keys that this key
 * was rotated from have the same bucket, so their descendants are included. If rows of the lineage
 * were deleted, a descendant is still found by its shared limits.
 * @throws ApiKeyConflictError if a key acts, and one of these keys would share too many limits
 * @throws KeyNotWritten if one of these keys keeps its old shared limits
 */
export async function shareChangedLimits(change: KeyChange, apiKey: ApiKey): Promise<void> {
  const { session, table } = change;
  const bucket = bucketOf(apiKey);
  const share = JSON.stringify(ownShare(authorityOf(apiKey, change), bucket));
  const wanted = `SELECT id AS of_id, ${CHANGED} AS shared FROM ${table}
    WHERE id = ANY ($2::bigint[]) AND user_id ${EQUALS} $3 AND coalesce(bucket_id, id) <> $1::text::bigint`;
  for (const ids of batchesOf(await idsOfSharing(change, apiKey, bucket))) {
    const parameters = [bucket, ids, apiKey.userId, share];
    const row = await session.row(
      `WITH wanted AS (${wanted}), changed AS (
         UPDATE ${table} SET shared_limits = shared FROM wanted
         WHERE id = of_id AND shared_limits IS DISTINCT FROM shared
         RETURNING shared_limits
       ) SELECT coalesce(max(jsonb_array_length(shared_limits)), 0)::text AS most FROM changed`,
      parameters,
    );
    const kept = await session.rows(
      `SELECT FROM ${table} JOIN (${wanted}) AS wanted ON id = of_id WHERE shared_limits IS DISTINCT FROM shared LIMIT 1`,
      parameters,
    );
    if (kept.length > 0) throw new KeyNotWritten('changes');
    refuseTooManyLimits(number(row, 'most'), change);
  }
}

async function idsOfSharing(change: KeyChange, { id, userId }: ApiKey, bucket: string): Promise<string[]> {
  const made = await idsOfLineage(change, [bucket, id]);
  const sharing = await change.session.rows(
    `SELECT id::text FROM ${change.table} WHERE user_id ${EQUALS} $1 AND shared_limits @> jsonb_build_array(jsonb_build_object('id', $2::text))`,
    [userId, bucket],
  );
  return [...new Set([...made, ...sharing.map((row) => text(row, 'id'))])];
}
