import { number, text } from '../database/fields';
import { EQUALS } from '../database/own-names';
import type { ApiKey } from '../model/api-key.entity';
import { ownShare } from '../model/authority';
import { bucketOf } from '../model/lineage';
import { batchesOf, idsOfLineage } from './descendants';
import { authorityOf, refuseTooManyLimits } from './key-authority';
import type { KeyChange } from './key-change';
import { KeyNotWritten } from './key-not-written';

/** What is no list cannot be read, and stays, because it allows nothing. */
const LIST =
  "CASE coalesce(jsonb_typeof(shared_limits), 'null') WHEN 'array' THEN shared_limits WHEN 'null' THEN '[]' ELSE jsonb_build_array(shared_limits) END";

/**
 * The copies of bucket `$1` changed to `$4`, a list of one limit or none, in their place; a first
 * one goes to the end.
 */
const CHANGED = `nullif(
    coalesce((
      SELECT jsonb_agg(CASE WHEN l ->> 'id' = $1::text THEN $4::jsonb -> 0 ELSE l END ORDER BY place)
      FROM jsonb_array_elements(${LIST}) WITH ORDINALITY AS listed (l, place)
      WHERE l ->> 'id' IS DISTINCT FROM $1::text OR $4::jsonb <> '[]'
    ), '[]') || CASE WHEN ${LIST} @> jsonb_build_array(jsonb_build_object('id', $1::text)) THEN '[]' ELSE $4::jsonb END,
    '[]')`;

/**
 * Writes the limits of a key that changed into all that it made, or that shares its bucket already:
 * they count on these from now on. The keys that it was rotated from have the same bucket, so what
 * they made follows as well. If the rows between are gone, the lineage does not lead to a key, but
 * what it shares still does.
 * @throws ApiKeyConflictError if a key that acts would have one of them share too many limits
 * @throws KeyNotWritten if one of them keeps what it shared
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
