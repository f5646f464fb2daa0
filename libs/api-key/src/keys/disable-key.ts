import { type Change, changeEvent } from '../audit/change-trail';
import { EXPIRY, expiryWhileDisabled } from '../database/disabled-expiry';
import { dateOrNull, flag, moment, textOrNull } from '../database/fields';
import type { ApiKey } from '../model/api-key.entity';
import { ApiKeyConflictError } from '../model/api-key.errors';
import { endedKeys } from './ended-keys';
import type { KeyChange } from './key-change';
import { KeyNotWritten } from './key-not-written';
import { lockToEnd } from './lock-key';
import { mayUndo } from './may-undo';
import { nowIn, settableColumns } from './settable-columns';

/**
 * Disables a key. Also sets `expires_at` to a time in the past, because a Rails app on the same
 * table reads only that column, and saves the expiry. If the key is disabled already, and something
 * else gave it an expiry to come, the key then gets the earlier expiry back. Works if other columns
 * cannot be read.
 * @returns null if no key was found
 * @throws ApiKeyConflictError if the key is revoked
 * @throws ApiKeyAuthorityError if the acting key is of another environment
 * @throws ColumnsUnfit if the table cannot record that a key is disabled
 */
export async function disableKey(
  change: KeyChange,
  id: string,
  reason: string | null,
): Promise<Change<ApiKey | null>> {
  const locked = await lockToEnd(change, id);
  if (!locked) return { result: null, events: [] };
  if (locked.revokedAt) throw new ApiKeyConflictError(`key ${id} is revoked and cannot be disabled`);
  const updatedAt = nowIn((await requireColumns(change)).get('updated_at'));
  const before = await disablingOf(change, id);
  const byId = before.isDisabled ? await strongerOf(change, before.byId) : (change.acting.apiKey?.id ?? null);
  if (before.isDisabled && before.isExpired && byId === before.byId)
    return { result: await readDisabled(change, id), events: [] };
  await write(change, id, { byId, updatedAt });
  await requireDisabled(change, id, byId);
  const apiKey = await readDisabled(change, id);
  return { result: apiKey, events: [changeEvent('disabled', apiKey, change.acting, { reason })] };
}

/**
 * Who counts as having disabled a key that is disabled already: of two keys, the one that may undo
 * what the other did. If neither may, or no key acts, only people may enable the key: null.
 */
async function strongerOf(change: KeyChange, presentId: string | null): Promise<string | null> {
  const actorId = change.acting.apiKey?.id;
  if (actorId === undefined || presentId === null) return null;
  if (await mayUndo(change, actorId, presentId)) return actorId;
  return (await mayUndo(change, presentId, actorId)) ? presentId : null;
}

interface Disabling {
  readonly isDisabled: boolean;
  /** Whether it is expired for Rails. */
  readonly isExpired: boolean;
  readonly byId: string | null;
}

async function disablingOf({ session, table }: KeyChange, id: string): Promise<Disabling> {
  const row = await session.row(
    `SELECT (disabled_at IS NOT NULL)::text AS disabled, (NOT ${IS_UNEXPIRED})::text AS expired, disabled_by_id::text
     FROM ${table} WHERE id = $1::bigint`,
    [id],
  );
  return {
    isDisabled: flag(row, 'disabled'),
    isExpired: flag(row, 'expired'),
    byId: textOrNull(row, 'disabled_by_id'),
  };
}

const IS_UNEXPIRED = '(expires_at IS NULL OR expires_at > clock_timestamp())';
/** Not in the future, because `expires_at` must not be later. */
const DISABLED_AT = 'least(disabled_at, now())';
/** The expiry to save. `least` ignores NULL. */
const SAVED = `least(coalesce(expires_at, 'infinity'), CASE WHEN disabled_at IS NOT NULL THEN enabled_expires_at END)`;

/** A key that is disabled already, and expired for Rails, keeps its times. */
async function write(
  { session, table }: KeyChange,
  id: string,
  { byId, updatedAt }: { readonly byId: string | null; readonly updatedAt: string | undefined },
): Promise<void> {
  const unlessDone = (column: string, value: string) =>
    `${column} = CASE WHEN disabled_at IS NULL OR ${IS_UNEXPIRED} THEN ${value} ELSE ${column} END`;
  await session.run(
    `UPDATE ${table} SET disabled_by_id = $2::bigint, disabled_at = ${DISABLED_AT},
       ${unlessDone('enabled_expires_at', SAVED)},
       ${unlessDone('expires_at', expiryWhileDisabled(SAVED, DISABLED_AT))}
       ${updatedAt === undefined ? '' : `, updated_at = ${updatedAt}`}
     WHERE id = $1::bigint AND revoked_at IS NULL`,
    [id, byId],
  );
}

/**
 * A trigger, a rule or a policy of the application can undo the statement without an error.
 * @throws KeyNotWritten if the key is not disabled
 */
async function requireDisabled(
  { session, table }: KeyChange,
  id: string,
  byId: string | null,
): Promise<void> {
  const done = await session.rows(
    `SELECT FROM ${table} WHERE id = $1::bigint AND disabled_at IS NOT NULL AND disabled_by_id IS NOT DISTINCT FROM $2::bigint
       AND expires_at <= clock_timestamp()`,
    [id, byId],
  );
  if (done.length === 0) throw new KeyNotWritten('disables');
}

/** Reads a disabled key. Values that cannot be read are empty. */
async function readDisabled(change: KeyChange, id: string): Promise<ApiKey> {
  const [apiKey] = await endedKeys(change, [id], change.rules.derive);
  if (!apiKey) throw new KeyNotWritten('disables');
  const { session, table } = change;
  const row = await session.row(
    `SELECT ${moment(`nullif(${EXPIRY}, 'infinity')`)} AS expires_at FROM ${table} WHERE id = $1::bigint`,
    [id],
  );
  return Object.assign(apiKey, { expiresAt: dateOrNull(row, 'expires_at') });
}

/** Columns that a disabled key needs, and their types. */
const NEEDED: Readonly<Record<string, string>> = {
  expires_at: 'timestamptz',
  disabled_at: 'timestamptz',
  disabled_by_id: 'int8',
  enabled_expires_at: 'timestamptz',
};

/** The table lacks a column, or has it with another type. The message says what to do. */
export class ColumnsUnfit extends Error {
  readonly code = 'COLUMNS_UNFIT';

  constructor(columns: readonly string[]) {
    super(
      `The table cannot record that a key is disabled, because a column is missing or has another type: ${columns.join(', ')}. ` +
        'Run the migrations of apiKeyMigrations(), or ALTER TABLE api_keys. To end the key now, revoke it.',
    );
  }
}

/**
 * Returns the types of the columns to set.
 * @throws ColumnsUnfit if one of them cannot be set
 */
async function requireColumns(change: KeyChange): Promise<ReadonlyMap<string, string>> {
  const columns = await settableColumns(change, [...Object.keys(NEEDED), 'updated_at']);
  const unfit = Object.entries(NEEDED).filter(([name, type]) => columns.get(name) !== type);
  if (unfit.length > 0)
    throw new ColumnsUnfit(unfit.map(([name, type]) => `${name} ${type === 'int8' ? 'bigint' : type}`));
  return columns;
}
