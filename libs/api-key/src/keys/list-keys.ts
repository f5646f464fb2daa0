import { API_KEY_COLUMNS, apiKeyFromRow, type DeriveFields } from '../database/api-key.row';
import type { Database } from '../database/database';
import { asText, EQUALS } from '../database/own-names';
import type { Turn } from '../database/turns';
import type { ApiKey } from '../model/api-key.entity';
import type { ApiKeyState } from '../model/api-key-state';
import type { ResolvedPolicyOptions } from '../options/policy';
import { hasExpired, isActive } from './active-keys';
import type { KeyRules } from './key-rules';

/** Filter and page of a listing. */
export interface KeyListing {
  readonly owner: string | null;
  readonly state: ApiKeyState | undefined;
  readonly search: string | undefined;
  readonly metadata: Readonly<Record<string, unknown>> | undefined;
  readonly before: string | null;
  readonly limit: number;
}

/** The masked form of a key: its visible start, three dots, its last four characters if known. */
const MASKED = /^(.+)\.{3}(.{4})?$/;

const IN_STATE: Readonly<Record<ApiKeyState, (policy: ResolvedPolicyOptions) => string>> = {
  active: isActive,
  expired: (policy) => `revoked_at IS NULL AND disabled_at IS NULL AND ${hasExpired(policy)}`,
  disabled: () => 'revoked_at IS NULL AND disabled_at IS NOT NULL',
  revoked: () => 'revoked_at IS NOT NULL',
};

/**
 * Returns keys with ids below `before`, the highest id first. Each page costs the same, and an
 * insert does not shift the pages.
 */
export async function pageOfKeys(
  database: Database,
  { owner, state, search, metadata, before, limit }: KeyListing,
  turn: Turn,
  { derive, policy }: Pick<KeyRules, 'derive' | 'policy'>,
): Promise<ApiKey[]> {
  const values: unknown[] = [limit];
  const conditions: string[] = state === undefined ? [] : [IN_STATE[state](policy)];
  if (owner !== null) conditions.push(`user_id ${EQUALS} $${values.push(owner)}`);
  if (search !== undefined) conditions.push(matches(search, (value) => `$${values.push(value)}`));
  if (metadata !== undefined)
    conditions.push(`metadata OPERATOR(pg_catalog.@>) $${values.push(metadata)}::pg_catalog.jsonb`);
  if (before !== null) conditions.push(`id < $${values.push(before)}::bigint`);
  const where = conditions.length > 0 ? `WHERE ${conditions.join(' AND ')}` : '';
  const rows = await database.read(
    (session) =>
      session.rows(
        `SELECT ${API_KEY_COLUMNS} FROM ${session.tables.keys} k ${where} ORDER BY k.id DESC LIMIT $1`,
        values,
      ),
    turn,
  );
  return rows.map((row) => apiKeyFromRow(row, derive));
}

/**
 * SQL of a search. Names are compared in lower case and by bytes, because a nondeterministic
 * collation has no substrings.
 */
function matches(search: string, place: (value: string) => string): string {
  const lower = (sql: string) => `pg_catalog.lower(${asText(sql)}) COLLATE "C"`;
  const inName = `pg_catalog.strpos(${lower('name')}, ${lower(place(search))}) OPERATOR(pg_catalog.>) 0`;
  const [, prefix = search, suffix] = MASKED.exec(search) ?? [];
  const starts = `pg_catalog.starts_with(${asText('key_prefix')}, ${asText(place(prefix))})`;
  const ends = suffix ? ` AND key_suffix ${EQUALS} ${asText(place(suffix))}` : '';
  return `(${inName} OR ${starts}${ends})`;
}

/** Returns a key by its id. If `owner` is not null, returns only a key of that owner. */
export async function keyById(
  database: Database,
  { id, owner }: { readonly id: string; readonly owner: string | null },
  turn: Turn,
  derive: DeriveFields,
): Promise<ApiKey | null> {
  const rows = await database.read(
    (session) =>
      session.rows(
        `SELECT ${API_KEY_COLUMNS} FROM ${session.tables.keys}
         WHERE id = $1::bigint AND ($2::text IS NULL OR user_id::text = $2)`,
        [id, owner],
      ),
    turn,
  );
  return rows[0] ? apiKeyFromRow(rows[0], derive) : null;
}
