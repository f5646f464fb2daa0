import {
  type ApiKey,
  type ApiKeyDescription,
  describeKey,
  type IssuedApiKey,
  type RecordedApiKeyEvent,
} from '../index';

/** The fields of a key that an answer has; the owner only if the caller sees keys of all owners. */
type Presented = Omit<ApiKeyDescription, 'userId'> & { readonly userId?: string };

export function presentKey(apiKey: ApiKey, withOwner: boolean): Presented {
  const { userId, ...shown } = describeKey(apiKey, new Date());
  return withOwner ? { ...shown, userId } : shown;
}

/** A new key with its raw key. No other response contains the raw key. */
export function presentIssued({ key, apiKey }: IssuedApiKey, withOwner: boolean) {
  return { ...presentKey(apiKey, withOwner), key };
}

/** The fields of an event that the owner of a key sees. */
export function presentEvent({
  id,
  type,
  at,
  actor,
  address,
  requestId,
  keyId,
  masked,
  details,
}: RecordedApiKeyEvent) {
  return { id, type, at, actor, address, requestId, keyId, masked, details };
}
