import {
  type ApiKey,
  type ApiKeyDescription,
  describeKey,
  type IssuedApiKey,
  type RecordedApiKeyEvent,
} from '../index';

/** The fields of a key that its owner sees. */
export function presentKey(apiKey: ApiKey, now: Date = new Date()): Omit<ApiKeyDescription, 'userId'> {
  const { userId: _, ...shown } = describeKey(apiKey, now);
  return shown;
}

/** A new key with its raw key. No other response contains the raw key. */
export function presentIssued({ key, apiKey }: IssuedApiKey) {
  return { ...presentKey(apiKey), key };
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
