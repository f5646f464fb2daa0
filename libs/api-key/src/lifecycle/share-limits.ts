import type { ApiKey } from '../api-key.entity';
import { ownShare } from '../authority';
import { bucketOf } from '../lineage';
import { authorityOf } from './key-authority';
import type { KeyChange } from './key-change';

/**
 * Writes the limits of a key that changed into all that it made: they count on these from now on. The keys that it was rotated from
 * have the same bucket, so what they made follows as well.
 */
export async function shareChangedLimits({ manager, table }: KeyChange, apiKey: ApiKey): Promise<void> {
  const bucket = bucketOf(apiKey);
  await manager.query(
    `WITH chain AS (SELECT id FROM ${table} WHERE coalesce(bucket_id, id) = $1::text::bigint AND user_id = $2)
     UPDATE ${table} SET shared_limits = nullif(
         coalesce((SELECT jsonb_agg(l) FROM jsonb_array_elements(shared_limits) l WHERE l ->> 'id' <> $1::text), '[]') || $3::jsonb, '[]')
     WHERE user_id = $2 AND coalesce(bucket_id, id) <> $1::text::bigint
       AND (ancestor_ids && ARRAY(SELECT id FROM chain) OR shared_limits @> jsonb_build_array(jsonb_build_object('id', $1::text)))`,
    [bucket, apiKey.userId, JSON.stringify(ownShare(authorityOf(apiKey), bucket))],
  );
}
