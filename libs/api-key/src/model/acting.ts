import type { ApiKey } from './api-key.entity';
import { ApiKeyInputError } from './api-key.errors';
import type { Actor } from './api-key.event';

/** On whose behalf a call of the service is made: it bounds what the call sees and gives, and the trail tells it. */
export interface Acting {
  /** Only the keys of this owner are seen: another's is "not found". */
  userId?: string;
  /** The key that acts: only keys of its owner are seen, and nothing beyond it is given. */
  apiKey?: ApiKey;
  /**
   * Scopes that the key that acts must hold when the change is made, such as `['api-keys:write']`.
   * Default: none.
   */
  needs?: readonly string[];
  /** Who the trail names. Default: the key, else the owner, else the application (`system`). */
  actor?: Actor;
  /** Address of the caller, for the trail. */
  address?: string | null;
  /** Id of the request, for the trail; at most 128 characters are kept. */
  requestId?: string | null;
}

/**
 * The owner whose keys alone are seen, or null for all.
 * @throws ApiKeyInputError where an owner is named and undefined, for that must not mean all, or two owners are
 */
export function ownerOf(acting: Acting): string | null {
  const { userId, apiKey } = acting;
  if (('userId' in acting && typeof userId !== 'string') || ('apiKey' in acting && !apiKey))
    throw new ApiKeyInputError(['the acting owner or key must be named; leave it out to act for nobody']);
  if (userId !== undefined && apiKey && userId !== apiKey.userId)
    throw new ApiKeyInputError(['the acting key is of another owner']);
  return apiKey?.userId ?? userId ?? null;
}

/** Who the trail names. */
export function actorOf({ actor, apiKey, userId }: Acting): Actor {
  if (actor) return actor;
  if (apiKey) return { type: 'key', id: apiKey.id };
  return userId === undefined ? { type: 'system', id: null } : { type: 'user', id: userId };
}
