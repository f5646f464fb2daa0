import type { EntityManager } from 'typeorm';
import type { ApiKey } from '../api-key.entity';
import { ApiKeyConflictError } from '../api-key.errors';
import { type Authority, excessOf } from '../authority';
import { quotaTable } from '../verification/api-key.row';
import { authorityOf, refuseExcess } from './key-authority';
import type { LockedKey } from './lock-key';
import { type IssuedApiKey, insertKey, type MintOptions } from './new-key';

/** How a key is rotated. */
export interface Rotation {
  /** Seconds that the old key still works; 0 ends it at once. */
  readonly overlapSeconds: number;
  /** When the new key stops working; undefined: after as long a life as the old one was given. */
  readonly expiresAt: Date | null | undefined;
}

/**
 * Makes the successor of a locked key, and ends that one after the overlap at the latest.
 * @throws ApiKeyConflictError where the key is revoked, expired or rotated already
 */
export async function rotateKey(
  manager: EntityManager,
  table: string,
  old: LockedKey,
  { overlapSeconds, expiresAt }: Rotation,
  maker: ApiKey | null,
  mint: MintOptions,
): Promise<IssuedApiKey> {
  refuseUnlessRotatable(old);
  const authority = authorityOf(old.apiKey);
  const inherited: Authority = {
    ...authority,
    expiresAt: expiresAt === undefined ? sameLifeAgain(old, maker) : expiresAt,
  };
  if (maker) refuseExcess(excessOf(inherited, authorityOf(maker)));
  const { userId, name, metadata, id } = old.apiKey;
  await manager.query(
    `UPDATE ${table} SET expires_at = least(expires_at, clock_timestamp() + $2 * interval '1 second'), updated_at = now()
     WHERE id = $1::bigint`,
    [id, overlapSeconds],
  );
  const successor = { userId, name, metadata, ...inherited, replacesId: id };
  const issued = await insertKey(manager, table, successor, mint);
  await inheritSpent(manager, id, issued.apiKey.id);
  return issued;
}

/** A successor goes on with what is left of the quota, or a rotation would begin it anew. */
async function inheritSpent(manager: EntityManager, from: string, to: string): Promise<void> {
  const quotas = quotaTable(manager.connection);
  await manager.query(
    `INSERT INTO ${quotas} (key_id, period, starts_at, used)
     SELECT $2::bigint, period, starts_at, used FROM ${quotas} WHERE key_id = $1::bigint`,
    [from, to],
  );
}

function refuseUnlessRotatable({ apiKey, expired, successorId }: LockedKey): void {
  if (apiKey.revokedAt)
    throw new ApiKeyConflictError(`key ${apiKey.id} is revoked: create a new one instead`);
  if (successorId !== null)
    throw new ApiKeyConflictError(
      `key ${apiKey.id} was rotated already: rotate its successor ${successorId}`,
    );
  if (expired) throw new ApiKeyConflictError(`key ${apiKey.id} has expired: create a new one instead`);
}

/** A key that was issued for 90 days gets a successor for 90 days, but none that outlives the key that acts. */
function sameLifeAgain({ apiKey, now }: LockedKey, maker: ApiKey | null): Date | null {
  const { expiresAt, createdAt } = apiKey;
  const own = expiresAt && new Date(now.getTime() + Math.max(0, expiresAt.getTime() - createdAt.getTime()));
  if (!maker?.expiresAt) return own;
  return own && own < maker.expiresAt ? own : maker.expiresAt;
}
