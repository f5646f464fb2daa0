import type { ApiKey } from '../api-key.entity';
import { ownShare } from '../authority';
import { bucketOf } from '../lineage';
import { lineage } from './descendants';
import { authorityOf } from './key-authority';
import type { KeyChange } from './key-change';

/** What is no list cannot be read, and stays, for it allows nothing. */
const LIST =
  "CASE coalesce(jsonb_typeof(shared_limits), 'null') WHEN 'array' THEN shared_limits WHEN 'null' THEN '[]' ELSE jsonb_build_array(shared_limits) END";

/**
 * Writes the limits of a key that changed into all that it made: they count on these from now on. The keys that it was rotated from
 * have the same bucket, so what they made follows as well: all of it descends from the first of them, by whose id the bucket is called.
 */
export async function shareChangedLimits(change: KeyChange, apiKey: ApiKey): Promise<void> {
  const { manager, table } = change;
  const bucket = bucketOf(apiKey);
  await manager.query(
    `${lineage(table)} UPDATE ${table} SET shared_limits = nullif(
         coalesce((SELECT jsonb_agg(l) FROM jsonb_array_elements(${LIST}) l WHERE l ->> 'id' IS DISTINCT FROM $1::text), '[]') || $3::jsonb, '[]')
     WHERE id IN (SELECT id FROM lineage) AND user_id = $2 AND coalesce(bucket_id, id) <> $1::bigint`,
    [bucket, apiKey.userId, JSON.stringify(ownShare(authorityOf(apiKey, change), bucket))],
  );
}
