import type { ApiKey } from './api-key.entity';
import { ApiKeyInputError } from './api-key.errors';
import type { Actor } from './api-key.event';
import { refuseManager } from './in-transaction';
import { printable } from './printable';

/**
 * For whom a call of the service acts. This bounds which keys the call sees and which rights the
 * call gives. The trail records the actor.
 */
export interface Acting {
  /** The call sees only the keys of this owner. A key of another owner is "not found". */
  userId?: string;
  /**
   * The key that acts. The call sees only keys of the same owner, and gives no right that this key
   * lacks.
   */
  apiKey?: ApiKey;
  /**
   * Scopes that the acting key must have when the change is made, such as `['api-keys:write']`.
   * Default: none.
   */
  needs?: readonly string[];
  /**
   * The actor that the trail records. Default: the key, else the owner, else the application
   * (`system`).
   */
  actor?: Actor;
  /** Address of the caller, for the trail. */
  address?: string | null;
  /** Id of the request, for the trail. The trail stores at most 128 characters. */
  requestId?: string | null;
}

const FIELDS: Readonly<Record<keyof Acting, true>> = {
  userId: true,
  apiKey: true,
  needs: true,
  actor: true,
  address: true,
  requestId: true,
};

/**
 * Copies the fields of `Acting`, also inherited ones and getters. A spread loses these, and a copy
 * without its owner or key acts for all owners.
 */
export function copyOfActing(acting: Acting): Acting {
  const given = (Object.keys(FIELDS) as (keyof Acting)[]).filter((field) => field in acting);
  return Object.fromEntries(given.map((field) => [field, acting[field]]));
}

/**
 * Refuses an object that is no `Acting`. A user such as `{ id: 7 }` would act for all owners, and a
 * key itself would act as its owner, who may do more than the key.
 * @throws ApiKeyInputError
 * @throws ApiKeyTransactionError if there is a `manager`
 */
export function refuseOtherObject(acting: object): void {
  refuseManager(acting);
  if ('keyPrefix' in acting) throw new ApiKeyInputError(['pass the acting key as { apiKey }']);
  const others = Object.keys(acting).filter((field) => !Object.hasOwn(FIELDS, field));
  const isOther = others.length > 0 || (!isPlain(acting) && !('actor' in acting));
  if (!isOther || 'userId' in acting || 'apiKey' in acting) return;
  throw new ApiKeyInputError([
    `the acting object names no userId and no apiKey, but has other fields (${printable(others.join(', '))}) or a class; omit the argument to act as the application itself`,
  ]);
}

function isPlain(value: object): boolean {
  const prototype = Object.getPrototypeOf(value);
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}

/**
 * Returns the only owner whose keys the call sees; null: the call sees the keys of all owners.
 * @throws ApiKeyInputError if `userId`, or `apiKey` with its owner, is present but missing a value,
 *   because that must not mean all owners; or if `userId` is not the owner of `apiKey`
 * @throws the errors of `refuseOtherObject`
 */
export function ownerOf(acting: Acting): string | null {
  const { userId, apiKey } = acting;
  refuseOtherObject(acting);
  if (
    ('userId' in acting && typeof userId !== 'string') ||
    ('apiKey' in acting && typeof apiKey?.userId !== 'string')
  )
    throw new ApiKeyInputError([
      'the acting owner or key is missing; omit the argument to act as the application itself',
    ]);
  if (userId !== undefined && apiKey && userId !== apiKey.userId)
    throw new ApiKeyInputError(['the acting key belongs to another owner']);
  return apiKey?.userId ?? userId ?? null;
}

/** The actor that the trail records. */
export function actorOf({ actor, apiKey, userId }: Acting): Actor {
  if (actor) return actor;
  if (apiKey) return { type: 'key', id: apiKey.id };
  return userId === undefined ? { type: 'system', id: null } : { type: 'user', id: userId };
}
