import { isDeepStrictEqual } from 'node:util';
import { type Change, changeEvent } from '../audit/change-trail';
import { API_KEY_COLUMNS, apiKeyFromRow } from '../database/api-key.row';
import { EXPIRY, expiryWhileDisabled } from '../database/disabled-expiry';
import { flag } from '../database/fields';
import type { ApiKey } from '../model/api-key.entity';
import { ApiKeyConflictError } from '../model/api-key.errors';
import { type Authority, excessOf, quotaOf, rateLimitOf } from '../model/authority';
import { type SharedLimit } from '../model/limits';
import { bucketOf, countsOn } from '../model/lineage';
import { refuseOneMore } from './active-keys';
import type { UpdateApiKeyInput } from './input-shapes';
import { authorityOf, refuseExcess, sharesOf } from './key-authority';
import type { KeyChange } from './key-change';
import { KeyNotWritten } from './key-not-written';
import { type LockedKey, lockForChange } from './lock-key';
import { blocksOf } from './new-key';
import { changedExpiry } from './policy';
import { shareChangedLimits } from './share-limits';

/** The old and the new value of each changed field. */
export type Changes = Record<string, { readonly old: unknown; readonly new: unknown }>;

/**
 * Changes the given fields of a key. If all values are the same, nothing is written.
 * @returns null if the key does not exist
 * @throws ApiKeyConflictError if the key is revoked, or if an acting key would extend a key that
 *   has expired or was rotated
 * @throws ApiKeyPolicyError if option `policy` does not allow the expiry
 * @throws ApiKeyAuthorityError if a given value is more than the acting key has, or if a bound
 *   widens and the key would then have more rights than the acting key
 */
export async function updateKey(
  change: KeyChange,
  id: string,
  asked: UpdateApiKeyInput,
): Promise<Change<ApiKey | null>> {
  const locked = await lockForChange(change, id);
  if (!locked) return { result: null, events: [] };
  const { target, actor } = locked;
  const { apiKey: before } = target;
  if (before.revokedAt) throw new ApiKeyConflictError(`key ${id} is revoked and cannot be changed`);
  const changes = permittedChanges(before, asked, change);
  if (actor) {
    refuseRevival(target, changes);
    refuseExcessOfUpdate(before, changes, actor, change);
  }
  const mayRevive = target.expired && !target.unused && changes.expiresAt !== undefined;
  if (mayRevive) await refuseOneMore(change, before.userId);
  const apiKey = await write(change, before, changes);
  if (!apiKey) return { result: before, events: [] };
  const done = difference(fieldsOf(before), fieldsOf(apiKey));
  if (target.successorId === null && ('rateLimit' in done || 'quota' in done))
    await shareChangedLimits(change, apiKey);
  return { result: apiKey, events: [changeEvent('updated', apiKey, change.acting, { changes: done })] };
}

/** @throws ApiKeyPolicyError if the key would live longer than option `policy` allows */
function permittedChanges(
  before: ApiKey,
  changes: UpdateApiKeyInput,
  { rules: { policy } }: KeyChange,
): UpdateApiKeyInput {
  const { expiresAt } = changes;
  return expiresAt === undefined
    ? changes
    : { ...changes, expiresAt: changedExpiry(expiresAt, before, policy) };
}

/**
 * An acting key cannot extend a key that has expired or was rotated. Otherwise the holder of a
 * leaked key could extend that key after its rotation.
 */
function refuseRevival({ apiKey, expired, successorId }: LockedKey, { expiresAt }: UpdateApiKeyInput): void {
  if (expiresAt === undefined || !isLater(expiresAt, apiKey.expiresAt)) return;
  if (expired)
    throw new ApiKeyConflictError(`key ${apiKey.id} has expired and cannot be revived: create a new one`);
  if (successorId !== null)
    throw new ApiKeyConflictError(
      `key ${apiKey.id} was rotated, and its expiry cannot be extended: use its successor ${successorId}`,
    );
}

function isLater(given: Date | null, present: Date | null): boolean {
  return present !== null && (given === null || given.getTime() > present.getTime());
}

/**
 * Each given value must be within the bounds of the acting key. If a bound widens, all bounds of
 * the changed key must be within the bounds of the acting key. If bounds only become narrower, the
 * other bounds are not compared.
 */
function refuseExcessOfUpdate(
  before: ApiKey,
  changes: UpdateApiKeyInput,
  actor: ApiKey,
  change: KeyChange,
): void {
  const { defaults } = change;
  const [present, bound] = [authorityOf(before, change), authorityOf(actor, change)];
  refuseExcess({ ...bound, ...given(changes) }, bound, { defaults, isShared: true });
  const after = { ...present, ...given(changes) };
  if (excessOf(after, present, { defaults, isShared: false }).problems.length === 0) return;
  const judged = { ...after, sharedLimits: sharesBeside(changes, present.sharedLimits) };
  refuseExcess(judged, bound, { defaults, isShared: isCountedOn(before, actor, change) });
}

/**
 * Whether each use of a key counts on the limits of the acting key. False for a successor of the
 * acting key, because both count in the same bucket. A changed limit in that bucket would forget
 * earlier uses.
 */
function isCountedOn(apiKey: ApiKey, actor: ApiKey, change: KeyChange): boolean {
  const isMade = apiKey.ancestorIds.includes(actor.id) && bucketOf(apiKey) !== bucketOf(actor);
  return isMade && countsOn(apiKey, sharesOf(actor, change));
}

/**
 * Returns the shared limits without the parts that the input sets, because a given limit must be
 * within the bounds by itself. A limit of an ancestor does not replace it.
 */
function sharesBeside(
  { rateLimit, quota }: UpdateApiKeyInput,
  shared: readonly SharedLimit[] | null,
): readonly SharedLimit[] | null {
  return (
    shared?.map((limit) => ({
      ...limit,
      rateLimit: rateLimit === undefined ? limit.rateLimit : null,
      quota: quota === undefined ? limit.quota : null,
    })) ?? null
  );
}

function given({ scopes, expiresAt, rateLimit, quota, allowedIps }: UpdateApiKeyInput): Partial<Authority> {
  const fields = { scopes, expiresAt, rateLimit, quota, allowedIps };
  return Object.fromEntries(
    Object.entries(fields).filter(([, value]) => value !== undefined),
  ) as Partial<Authority>;
}

/**
 * @returns null if the row says all of it already
 * @throws KeyNotWritten if a field is as it was, though it should be another
 */
async function write(
  { session, table, rules }: KeyChange,
  before: ApiKey,
  changes: UpdateApiKeyInput,
): Promise<ApiKey | null> {
  const columns = columnsOf(changes, before.disabledAt !== null);
  if (columns.length === 0) return null;
  const values = columns.map(({ sql }, i) => sql(`$${i + 2}`));
  const assignments = columns.map(({ name, set = (value) => `${name} = ${value}` }, i) =>
    set(values[i] as string),
  );
  const differ = columns.map(({ name, shown = name }, i) => `${shown} IS DISTINCT FROM ${values[i]}`);
  const parameters = [before.id, ...columns.map(({ value }) => value)];
  const changed = await session.run(
    `UPDATE ${table} SET ${assignments.join(', ')}, updated_at = now()
     WHERE id = $1::bigint AND (${differ.join(' OR ')})`,
    parameters,
  );
  const kept = columns.map(({ isKept }, i) => isKept?.(values[i] as string) ?? differ[i]);
  const [row] = await session.rows(
    `SELECT ${API_KEY_COLUMNS}, ${kept.map((is, i) => `(${is})::text AS kept_${i}`).join(', ')} FROM ${table} WHERE id = $1::bigint`,
    parameters,
  );
  if (!row) throw new KeyNotWritten('changes');
  const after = apiKeyFromRow(row, rules.derive);
  const done = difference(fieldsOf(before), fieldsOf(after));
  if (columns.some(({ field }, i) => flag(row, `kept_${i}`) && !(field in done)))
    throw new KeyNotWritten('changes');
  return changed > 0 ? after : null;
}

interface ColumnChange {
  readonly name: string;
  readonly field: keyof UpdateApiKeyInput;
  readonly value: unknown;
  readonly sql: (parameter: string) => string;
  /** SQL of the value that a caller sees, if a caller cannot see the whole value. */
  readonly shown?: string;
  /** SQL that assigns the value. Default: the column becomes the value. */
  readonly set?: (value: string) => string;
  /** SQL that says whether it holds another value than it was given. Default: it differs. */
  readonly isKept?: (value: string) => string;
}

/** A Date has a precision of milliseconds and cannot represent `infinity`. */
const SHOWN_EXPIRY = `nullif(date_trunc('milliseconds', ${EXPIRY}), 'infinity')`;
/** A column may keep times in whole seconds. */
const isOtherTime = (value: string) =>
  `${SHOWN_EXPIRY} IS DISTINCT FROM ${value} AND (${SHOWN_EXPIRY} BETWEEN ${value} - interval '1 second' AND ${value} + interval '1 second') IS NOT TRUE`;
/** The expiry of a disabled key is saved. It replaces a value that Rails wrote meanwhile. */
const savedExpiry = (value: string) => {
  const saved = `coalesce(${value}, 'infinity')`;
  return `enabled_expires_at = ${saved}, expires_at = ${expiryWhileDisabled(saved, 'disabled_at')}`;
};
const NO_RATE = { limit: null, windowSeconds: null };
const NO_QUOTA = { limit: null, period: null };

/** Returns the columns of the given fields. */
function columnsOf(changes: UpdateApiKeyInput, isDisabled: boolean): ColumnChange[] {
  const { name, scopes, expiresAt, rateLimit, quota, allowedIps, metadata } = changes;
  const rate = rateLimit === null ? NO_RATE : rateLimit;
  const spending = quota === null ? NO_QUOTA : quota;
  const as = (type: string) => (parameter: string) => `${parameter}::${type}`;
  const columns: ColumnChange[] = [
    { name: 'name', field: 'name', value: name, sql: as('varchar') },
    { name: 'scopes', field: 'scopes', value: scopes, sql: as('text[]') },
    {
      name: 'expires_at',
      field: 'expiresAt',
      value: expiresAt,
      sql: as('timestamptz'),
      shown: SHOWN_EXPIRY,
      isKept: isOtherTime,
      ...(isDisabled && { set: savedExpiry }),
    },
    { name: 'rate_limit', field: 'rateLimit', value: rate?.limit, sql: as('int') },
    { name: 'rate_limit_window_seconds', field: 'rateLimit', value: rate?.windowSeconds, sql: as('int') },
    { name: 'quota', field: 'quota', value: spending?.limit, sql: as('int') },
    { name: 'quota_period', field: 'quota', value: spending?.period, sql: as('varchar') },
    { name: 'allowed_ips', field: 'allowedIps', value: allowedIps, sql: blocksOf },
    { name: 'metadata', field: 'metadata', value: metadata, sql: as('jsonb') },
  ];
  return columns.filter(({ value }) => value !== undefined);
}

function fieldsOf(apiKey: ApiKey) {
  const { name, scopes, expiresAt, allowedIps, metadata } = apiKey;
  return {
    name,
    scopes,
    expiresAt,
    rateLimit: rateLimitOf(apiKey),
    quota: quotaOf(apiKey),
    allowedIps,
    metadata,
  };
}

function difference(before: object, after: object): Changes {
  const old = new Map(Object.entries(before));
  const changed = Object.entries(after).filter(([field, value]) => !isDeepStrictEqual(old.get(field), value));
  return Object.fromEntries(changed.map(([field, value]) => [field, { old: old.get(field), new: value }]));
}
