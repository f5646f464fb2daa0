import { refuseMisfit } from '../database/store-errors';
import type { Acting } from '../model/acting';
import { ApiKeyConflictError } from '../model/api-key.errors';
import type { KeyChanges } from './key-changes';
import { lockToEnd } from './lock-key';
import { renameHeld, type ScopeRenaming, scopesAfter } from './scope-renaming';

/** Options of `ApiKeyService.renameScope`. */
export interface RenameScopeOptions {
  /**
   * Called after each batch with the number of rows that were read, and of keys that were changed.
   * Rows are read at least twice.
   */
  onProgress?: (progress: { readonly read: number; readonly keys: number }) => void;
}

/** The result of `ApiKeyService.renameScope`. */
export interface RenameScopeReport {
  /** Number of keys that this call changed. */
  readonly keys: number;
  /**
   * Number of valid keys that have the old scope only through a wildcard, and lack the new scope.
   * They are unchanged.
   */
  readonly losing: number;
}

/** What a renaming needs in each of its transactions. */
interface Renamer {
  readonly changes: KeyChanges;
  readonly renaming: ScopeRenaming;
  readonly acting: Acting;
  /** Called after each batch with the numbers of that batch. */
  readonly report: (read: number, keys: number) => void;
}

/** What one pass over the table found. */
interface Pass {
  /** Number of keys that had the old scope. */
  readonly found: number;
  readonly losing: number;
}

const MAX_PASSES = 5;
/** The smallest bigint. */
const BEFORE_ALL = '-9223372036854775808';

/**
 * Renames a scope of all keys, in batches of one transaction each. Reads all rows again until no
 * key has the old scope, because a rotation may have copied it to a row that was passed already.
 * @throws ApiKeyConflictError if other callers keep giving the old scope to keys
 * @throws ApiKeyRefusal `KEY_STORE_UNAVAILABLE` if the database fails; earlier batches stay renamed
 */
export async function renameScope(
  changes: KeyChanges,
  renaming: ScopeRenaming,
  acting: Acting,
  { onProgress = () => {} }: RenameScopeOptions,
): Promise<RenameScopeReport> {
  let [read, keys] = [0, 0];
  const report = (more: number, renamed: number) => {
    [read, keys] = [read + more, keys + renamed];
    onProgress({ read, keys });
  };
  for (let pass = 1; pass <= MAX_PASSES; pass++) {
    const { found, losing } = await passOver({ changes, renaming, acting, report });
    if (found === 0) return { keys, losing };
  }
  throw new ApiKeyConflictError(
    `keys still get the scope "${renaming.from}" while it is renamed: stop giving it to keys, then rename it again`,
  );
}

/** Rows with larger ids than at its start are left to the next pass, so that each pass ends. */
async function passOver(renamer: Renamer): Promise<Pass> {
  let [found, losing] = [0, 0];
  let end: string | null = null;
  let after: string | null = BEFORE_ALL;
  while (after !== null && (end === null || BigInt(after) < BigInt(end))) {
    const { batch, renamed } = await renameBatch(renamer, after);
    let keys = renamed.length;
    for (const id of batch.holders) if (!renamed.includes(id)) keys += await renameOne(renamer, id);
    renamer.report(batch.rows, keys);
    [found, losing] = [found + batch.holders.length, losing + batch.losing];
    [after, end] = [batch.last, end ?? batch.end];
  }
  return { found, losing };
}

/** Renames the scope of the next rows. Skips rows that another transaction has locked. */
async function renameBatch({ changes, renaming, acting }: Renamer, after: string) {
  return changes
    .make(acting, async (change) => {
      const batch = await scopesAfter(change, after, renaming);
      const { result: renamed, events } = await renameHeld(change, batch.holders, renaming);
      return { result: { batch, renamed }, events };
    })
    .catch(refuseMisfit);
}

/**
 * Renames the scope of a row that was locked. Waits for its owner and then for the row, as every
 * change of a key does.
 * @returns 1 if the key was changed, 0 if it does not have the old scope any more
 */
async function renameOne({ changes, renaming, acting }: Renamer, id: string): Promise<number> {
  const renamed = await changes
    .make(acting, async (change) => {
      await lockToEnd(change, id);
      return renameHeld(change, [id], renaming);
    })
    .catch(refuseMisfit);
  return renamed.length;
}
