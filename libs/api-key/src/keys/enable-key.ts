import { type Change, changeEvent } from '../audit/change-trail';
import { API_KEY_COLUMNS, apiKeyFromRow } from '../database/api-key.row';
import { IS_EXPIRY_SAVED } from '../database/disabled-expiry';
import type { ApiKey } from '../model/api-key.entity';
import { ApiKeyAuthorityError, ApiKeyConflictError } from '../model/api-key.errors';
import { authorityOf, refuseExcess } from './key-authority';
import type { KeyChange } from './key-change';
import { KeyNotWritten } from './key-not-written';
import { type LockedKey, lockForChange } from './lock-key';
import { mayUndo } from './may-undo';
import { changedExpiry } from './policy';

/**
 * Enables a disabled key. Gives back its expiry, unless something else, such as a Rails app,
 * changed `expires_at` in the meantime. What the key had is given back also if the policy allows
 * less now, as other keys keep it. If the key is not disabled, nothing is written. The key has
 * counted for `maxActiveKeys` while it was disabled, so it has a place.
 * @returns null if no key was found
 * @throws ApiKeyConflictError if the key is revoked, or if a key acts and the disabled key has
 *   expired or was rotated
 * @throws ApiKeyAuthorityError if a key acts, and may not undo the disabling, is of another
 *   environment, or would have fewer rights than the enabled key
 * @throws ApiKeyPolicyError if option `policy` does not allow the expiry that something else set
 */
export async function enableKey(
  change: KeyChange,
  id: string,
  reason: string | null,
): Promise<Change<ApiKey | null>> {
  const locked = await lockForChange(change, id);
  if (!locked) return { result: null, events: [] };
  const { target, actor } = locked;
  const { apiKey } = target;
  if (apiKey.revokedAt) throw new ApiKeyConflictError(`key ${id} is revoked and cannot be enabled`);
  if (!apiKey.disabledAt) return { result: apiKey, events: [] };
  if (actor) await refuseUnlessCovered(change, target, actor);
  changedExpiry(apiKey.expiresAt, apiKey, change.rules.policy);
  const enabled = await write(change, id);
  return { result: enabled, events: [changeEvent('enabled', enabled, change.acting, { reason })] };
}

/**
 * A key enables only what a key of its lineage disabled, and only if the enabled key has no more
 * than it has. No limit loses its earlier use, so limits are compared as for a rotation.
 */
async function refuseUnlessCovered(change: KeyChange, target: LockedKey, actor: ApiKey): Promise<void> {
  const { apiKey } = target;
  await refuseUnlessUndoable(change, apiKey, actor);
  refuseRevival(target);
  const { defaults } = change;
  refuseExcess(authorityOf(apiKey, change), authorityOf(actor, change), { defaults, isShared: true });
}

async function refuseUnlessUndoable(
  change: KeyChange,
  { id, disabledById }: ApiKey,
  actor: ApiKey,
): Promise<void> {
  if (disabledById === null)
    throw new ApiKeyAuthorityError(
      [`key ${id} can be enabled only by a person or the application: ask an operator`],
      [],
    );
  if (await mayUndo(change, actor.id, disabledById)) return;
  throw new ApiKeyAuthorityError(
    [
      `key ${id} was disabled by key ${disabledById}, which the acting key neither made nor replaced: use that key, a key that made it, or its successor`,
    ],
    [],
  );
}

function refuseRevival({ apiKey, expired, successorId }: LockedKey): void {
  if (successorId !== null)
    throw new ApiKeyConflictError(
      `key ${apiKey.id} was rotated and cannot be enabled by a key: use its successor ${successorId}`,
    );
  if (expired)
    throw new ApiKeyConflictError(
      `key ${apiKey.id} has expired and cannot be enabled by a key: create a new one`,
    );
}

/** @throws KeyNotWritten if the key is still disabled */
async function write({ session, table, rules }: KeyChange, id: string): Promise<ApiKey> {
  await session.run(
    `UPDATE ${table} SET expires_at = CASE WHEN ${IS_EXPIRY_SAVED} THEN nullif(enabled_expires_at, 'infinity') ELSE expires_at END,
       disabled_at = NULL, disabled_by_id = NULL, enabled_expires_at = NULL, updated_at = now()
     WHERE id = $1::bigint`,
    [id],
  );
  const [row] = await session.rows(`SELECT ${API_KEY_COLUMNS} FROM ${table} WHERE id = $1::bigint`, [id]);
  const apiKey = row && apiKeyFromRow(row, rules.derive);
  if (!apiKey || apiKey.disabledAt || apiKey.disabledById) throw new KeyNotWritten('enables');
  return apiKey;
}
