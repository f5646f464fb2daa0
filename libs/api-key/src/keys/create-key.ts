import { type Change, changeEvent } from '../audit/change-trail';
import type { KeyDigests } from '../credential/digest';
import { isUnfit, UNFIT_OWNER } from '../database/store-errors';
import type { ApiKey } from '../model/api-key.entity';
import { ApiKeyConflictError, ApiKeyInputError } from '../model/api-key.errors';
import type { Authority } from '../model/authority';
import {
  ancestorsOf,
  ancestorsToKeep,
  type Lineage,
  MAX_ANCESTORS,
  mergeShares,
  NO_LINEAGE,
} from '../model/lineage';
import { refuseOneMore } from './active-keys';
import { endedAmong } from './descendants';
import type { ApiKeyFields, CreateApiKeyInput } from './input-shapes';
import { authorityOf, refuseExcess, refuseTooManyLimits, sharesOf } from './key-authority';
import type { KeyChange } from './key-change';
import { environmentOfNew } from './key-environment';
import { lockActor } from './lock-key';
import { type IssuedApiKey, insertKey } from './new-key';
import { lockOwner } from './owner-lock';
import { expiryOfNew } from './policy';
import { creationTime } from './policy-clock';

/**
 * Creates a key. If a key acts, the new key is its descendant and stays within its bounds.
 * @throws ApiKeyAuthorityError if the new key would have more rights than the acting key, or
 *   another environment
 * @throws ApiKeyPolicyError if option `policy` does not allow the key
 * @throws ApiKeyConflictError if the acting key has too many ancestors or too many shared limits
 */
export async function createKey(
  change: KeyChange,
  input: CreateApiKeyInput,
  digests: KeyDigests,
): Promise<Change<IssuedApiKey>> {
  const { acting } = change;
  const owner = await lockOwner(change, input.userId).catch((error) => {
    throw isUnfit(error) ? new ApiKeyInputError([UNFIT_OWNER]) : error;
  });
  if (acting.apiKey && owner !== acting.apiKey.userId)
    throw new ApiKeyInputError(['userId must be the acting owner']);
  const maker = await lockActor(change, owner);
  const environment = environmentOfNew(input.environment, change);
  const { name, metadata = {} } = input;
  await refuseOneMore(change, owner);
  const authority = authorityFor(input, maker, change, await creationTime(change));
  const lineage = maker ? await lineageFrom(change, maker) : NO_LINEAGE;
  const newKey = { userId: owner, name, metadata, ...authority, ...lineage, environment, replacesId: null };
  const issued = await insertKey(change, newKey, digests);
  const { ancestorIds } = issued.apiKey;
  return {
    result: issued,
    events: [changeEvent('created', issued.apiKey, acting, { replacesId: null, ancestorIds })],
  };
}

/**
 * Returns the bounds of a new key. A field that the input omits is copied from the acting key,
 * except scopes: the default is no scopes. A default lifetime of the policy that ends earlier has
 * priority.
 */
function authorityFor(input: ApiKeyFields, maker: ApiKey | null, change: KeyChange, now: Date): Authority {
  const { defaults, rules } = change;
  const bounds = maker && authorityOf(maker, change);
  const authority: Authority = {
    scopes: input.scopes ?? [],
    expiresAt: expiryOfNew(input.expiresAt, bounds?.expiresAt ?? null, now, rules.policy),
    rateLimit: input.rateLimit === undefined ? (bounds?.rateLimit ?? null) : input.rateLimit,
    quota: input.quota === undefined ? (bounds?.quota ?? null) : input.quota,
    allowedIps: input.allowedIps === undefined ? (bounds?.allowedIps ?? null) : input.allowedIps,
    sharedLimits: bounds?.sharedLimits ?? null,
  };
  if (bounds) refuseExcess(authority, bounds, { defaults, isShared: true });
  return authority;
}

async function lineageFrom(change: KeyChange, maker: ApiKey): Promise<Lineage> {
  const ended = await endedAmong(change, ancestorsOf([maker]));
  const ancestorIds = ancestorsToKeep([maker], ended);
  if (ancestorIds.length > MAX_ANCESTORS)
    throw new ApiKeyConflictError(
      `key ${maker.id} has the maximum number of ancestors: use an older key to create this one`,
    );
  const sharedLimits = mergeShares(sharesOf(maker, change), null);
  refuseTooManyLimits(sharedLimits?.length ?? 0, change);
  return { ancestorIds, sharedLimits, bucketId: null };
}
