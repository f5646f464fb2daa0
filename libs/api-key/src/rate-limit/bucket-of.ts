import type { ApiKey } from '../api-key.entity';

/** The bucket in which the own limits of a key are counted, over all its rotations. */
export function bucketOf({ id, bucketId }: Pick<ApiKey, 'id' | 'bucketId'>): string {
  return bucketId ?? id;
}
