import type { DataSource, SelectQueryBuilder } from 'typeorm';
import { ApiKey } from '../api-key.entity';
import type { ApiKeyState } from '../api-key.input';

/** Which keys are listed. */
export interface KeyListing {
  readonly owner: string | null;
  readonly state: ApiKeyState | undefined;
  readonly before: string | null;
  readonly limit: number;
}

const IN_STATE: Readonly<Record<ApiKeyState, string>> = {
  active: 'k.revokedAt IS NULL AND (k.expiresAt IS NULL OR k.expiresAt > clock_timestamp())',
  expired: 'k.revokedAt IS NULL AND k.expiresAt <= clock_timestamp()',
  revoked: 'k.revokedAt IS NOT NULL',
};

/** Keys by falling id, those below `before`: a page costs the same wherever it is, and no insert moves it. */
export function pageOfKeys(
  dataSource: DataSource,
  { owner, state, before, limit }: KeyListing,
): Promise<ApiKey[]> {
  const query = keys(dataSource).orderBy('k.id', 'DESC').limit(limit);
  if (owner !== null) query.andWhere('k.userId = :owner', { owner });
  if (state !== undefined) query.andWhere(IN_STATE[state]);
  if (before !== null) query.andWhere('k.id < CAST(:before AS bigint)', { before });
  return query.getMany();
}

/** A key by its id, of one owner where it is not null. */
export async function keyById(
  dataSource: DataSource,
  id: string,
  owner: string | null,
): Promise<ApiKey | null> {
  const apiKey = await keys(dataSource).where('k.id = CAST(:id AS bigint)', { id }).getOne();
  return apiKey && (owner === null || apiKey.userId === owner) ? apiKey : null;
}

function keys(dataSource: DataSource): SelectQueryBuilder<ApiKey> {
  return dataSource.getRepository(ApiKey).createQueryBuilder('k');
}
