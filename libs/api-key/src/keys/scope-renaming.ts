import { type Change, changeEvent } from '../audit/change-trail';
import { wildcardsOf } from '../credential/scope';
import { flag, json, jsonOrNull, number, text, textOrNull } from '../database/fields';
import { asJson } from '../database/own-names';
import { idsOrNone, scopesOrNone } from '../model/api-key.entity';
import { isActive } from './active-keys';
import { endedKeys } from './ended-keys';
import type { KeyChange } from './key-change';
import { KeyNotWritten } from './key-not-written';

/** A scope that keys have, and the scope that they get instead. */
export interface ScopeRenaming {
  readonly from: string;
  readonly to: string;
}

/** The next rows of the table, in order of id. */
export interface ScopeBatch {
  /** The largest id of these rows; null if there are none. */
  readonly last: string | null;
  /** The largest id of the table; null if it is empty. */
  readonly end: string | null;
  readonly rows: number;
  /** Ids of the keys that have the old scope itself. */
  readonly holders: readonly string[];
  /** Number of valid keys that have the old scope only through a wildcard, and lack the new one. */
  readonly losing: number;
}

const BATCH = 1_000;
/** Compared byte by byte, because the collation of the column may ignore the case of letters. */
const SCOPES = 'scopes::text[] COLLATE "C"';

/** Reads the scopes of at most 1,000 rows with ids above `after`. */
export async function scopesAfter(
  { session, table, rules }: KeyChange,
  after: string,
  { from, to }: ScopeRenaming,
): Promise<ScopeBatch> {
  const granting = [to, ...wildcardsOf(to)];
  const row = await session.row(
    `SELECT max(id)::text AS last, (SELECT max(id)::text FROM ${table}) AS end_id, count(*)::text AS rows,
       coalesce(json_agg(id::text ORDER BY id) FILTER (WHERE holds), '[]')::text AS holders,
       count(*) FILTER (WHERE by_wildcard AND holds IS NOT TRUE)::text AS losing
     FROM (SELECT id, $2 = ANY (${SCOPES}) AS holds,
         ${SCOPES} && $3::text[] AND NOT ${SCOPES} && $4::text[] AND ${isActive(rules.policy)} AS by_wildcard
       FROM ${table} k WHERE id > $1::bigint ORDER BY id LIMIT ${BATCH}) AS next`,
    [after, from, wildcardsOf(from), granting],
  );
  return {
    last: textOrNull(row, 'last'),
    end: textOrNull(row, 'end_id'),
    rows: number(row, 'rows'),
    holders: idsOrNone(json(row, 'holders')),
    losing: number(row, 'losing'),
  };
}

/**
 * Renames the scope of those of the keys that still have it and that no other transaction has
 * locked. Waits for no row, so that it cannot block or be blocked while it has locked others.
 * @returns the ids of the changed keys
 * @throws KeyNotWritten if a key has the old scope afterwards, or lacks the new one
 */
export async function renameHeld(
  change: KeyChange,
  ids: readonly string[],
  renaming: ScopeRenaming,
): Promise<Change<readonly string[]>> {
  const before = await lockHolders(change, ids, renaming);
  if (before.size === 0) return { result: [], events: [] };
  const held = [...before.keys()];
  await replace(change, held, renaming);
  const after = await scopesNow(change, held, renaming);
  const events = (await endedKeys(change, held, change.rules.derive)).map((apiKey) => {
    const scopes = { old: before.get(apiKey.id), new: after.get(apiKey.id) };
    return changeEvent('updated', apiKey, change.acting, { changes: { scopes } });
  });
  return { result: held, events };
}

type Scopes = ReadonlyMap<string, readonly string[]>;

async function lockHolders(
  { session, table }: KeyChange,
  ids: readonly string[],
  { from }: ScopeRenaming,
): Promise<Scopes> {
  if (ids.length === 0) return new Map();
  const rows = await session.rows(
    `SELECT id::text, ${asJson('scopes')} AS scopes FROM ${table}
     WHERE id = ANY ($1::bigint[]) AND $2 = ANY (${SCOPES}) ORDER BY id FOR NO KEY UPDATE SKIP LOCKED`,
    [ids, from],
  );
  return new Map(rows.map((row) => [text(row, 'id'), scopesOrNone(jsonOrNull(row, 'scopes'))]));
}

/** Keeps the order of the scopes, and the first of equal ones. */
async function replace(
  { session, table }: KeyChange,
  ids: readonly string[],
  { from, to }: ScopeRenaming,
): Promise<void> {
  await session.run(
    `UPDATE ${table} SET updated_at = now(), scopes = (
       SELECT array_agg(scope ORDER BY place) FROM (
         SELECT scope, min(place) AS place FROM (
           SELECT CASE WHEN scope = $2 THEN $3 ELSE scope END AS scope, place
           FROM unnest(${SCOPES}) WITH ORDINALITY AS held (scope, place)
         ) AS renamed GROUP BY scope
       ) AS distinct_scopes)
     WHERE id = ANY ($1::bigint[])`,
    [ids, from, to],
  );
}

/** @throws KeyNotWritten if a trigger of the application undid or changed the renaming */
async function scopesNow(
  { session, table }: KeyChange,
  ids: readonly string[],
  { from, to }: ScopeRenaming,
): Promise<Scopes> {
  const rows = await session.rows(
    `SELECT id::text, ${asJson('scopes')} AS scopes,
       (($3 = ANY (${SCOPES})) IS TRUE AND ($2 = ANY (${SCOPES})) IS NOT TRUE)::text AS is_renamed
     FROM ${table} WHERE id = ANY ($1::bigint[])`,
    [ids, from, to],
  );
  if (rows.length < ids.length || !rows.every((row) => flag(row, 'is_renamed')))
    throw new KeyNotWritten('changes');
  return new Map(rows.map((row) => [text(row, 'id'), scopesOrNone(jsonOrNull(row, 'scopes'))]));
}
