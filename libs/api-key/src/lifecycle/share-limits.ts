import type { ApiKey } from '../api-key.entity';
import { ownShare } from '../authority';
import { bucketOf } from '../lineage';
import { batchesOf, idsOfLineage } from './descendants';
import { authorityOf, refuseTooManyLimits } from './key-authority';
import type { KeyChange } from './key-change';

/** What is no list cannot be read, and stays, for it allows nothing. */
const LIST =
  "CASE coalesce(jsonb_typeof(shared_limits), 'null') WHEN 'array' THEN shared_limits WHEN 'null' THEN '[]' ELSE jsonb_build_array(shared_limits) END";

/**
 * Writes the limits of a key that changed into all that it made, or that shares its bucket already: they count on these from now on. The
 * keys that it was rotated from have the same bucket, so what they made follows as well. Where the rows between are gone, the lineage does
 * not lead to a key; what it shares still does.
 * @throws ApiKeyConflictError if a key that acts would have one of them share too many limits
 */
export async function shareChangedLimits(change: KeyChange, apiKey: ApiKey): Promise<void> {
  const { manager, table } = change;
  const bucket = bucketOf(apiKey);
  const share = JSON.stringify(ownShare(authorityOf(apiKey, change), bucket));
  for (const ids of batchesOf(await idsOfSharing(change, apiKey, bucket))) {
    const [{ most }] = await manager.query<[{ most: number }]>(
      `WITH changed AS (
         UPDATE ${table} SET shared_limits = nullif(
           coalesce((SELECT jsonb_agg(l) FROM jsonb_array_elements(${LIST}) l WHERE l ->> 'id' IS DISTINCT FROM $1::text), '[]') || $4::jsonb, '[]')
         WHERE id = ANY ($2::bigint[]) AND user_id = $3 AND coalesce(bucket_id, id) <> $1::bigint
         RETURNING shared_limits
       ) SELECT coalesce(max(jsonb_array_length(shared_limits)), 0) AS most FROM changed`,
      [bucket, ids, apiKey.userId, share],
    );
    refuseTooManyLimits(Number(most), change);
  }
}

async function idsOfSharing(change: KeyChange, { id, userId }: ApiKey, bucket: string): Promise<string[]> {
  const made = await idsOfLineage(change, [bucket, id]);
  const sharing = await change.manager.query<{ id: unknown }[]>(
    `SELECT id FROM ${change.table} WHERE user_id = $1 AND shared_limits @> jsonb_build_array(jsonb_build_object('id', $2::text))`,
    [userId, bucket],
  );
  return [...new Set([...made, ...sharing.map((row) => String(row.id))])];
}
