import { ApiKeyService } from 'nestjs-api-key';
import { Client } from 'pg';
import { ourContext } from '../calls/ours';
import { createUsers } from '../keys';
import { ours } from '../variants/ours';
import { KINDS, type RefusedKeys } from './kinds';

/**
 * Migrates a database and returns `count` keys of each kind. All keys are issued in the same way.
 * The keys of one kind have one owner. At the end the table is rewritten, so that an earlier UPDATE
 * or DELETE does not slow down look-ups.
 */
export async function createRefusedKeys(databaseUrl: string, count: number): Promise<RefusedKeys> {
  const owners = await createUsers(databaseUrl, KINDS.length);
  const context = await ourContext(ours(databaseUrl));
  try {
    const service = context.get(ApiKeyService);
    const [unknown = [], revoked = [], expired = [], ownerless = []] = await Promise.all(
      owners.map((userId) => issue(service, userId, count)),
    );
    const [ofUnknown, ofRevoked = '', ofExpired, gone] = owners;
    await service.revokeAll({ userId: ofRevoked });
    await onDatabase(databaseUrl, [
      ['DELETE FROM api_keys WHERE user_id = $1', [ofUnknown]],
      [`UPDATE api_keys SET expires_at = now() - interval '1 hour' WHERE user_id = $1`, [ofExpired]],
      ['VACUUM (FULL, ANALYZE) api_keys', []],
    ]);
    const loadUser = (id: string) => (id === gone ? null : { id });
    return { keys: { unknown, revoked, expired, ownerless }, loadUser };
  } finally {
    await context.close();
  }
}

async function issue(service: ApiKeyService, userId: string, count: number): Promise<string[]> {
  const input = { userId, name: 'timing', scopes: ['orders:read'] } as const;
  const issued = await Promise.all(Array.from({ length: count }, () => service.create(input)));
  return issued.map(({ key }) => key);
}

async function onDatabase(
  url: string,
  statements: readonly (readonly [string, readonly unknown[]])[],
): Promise<void> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    for (const [text, values] of statements) await client.query(text, [...values]);
  } finally {
    await client.end();
  }
}
