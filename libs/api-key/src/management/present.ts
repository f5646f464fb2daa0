import {
  type ApiKey,
  type ApiKeyDescription,
  describeKey,
  type IssuedApiKey,
  type RecordedApiKeyEvent,
} from '../index';

/** A key as its owner sees it. */
export function presentKey(apiKey: ApiKey, now: Date = new Date()): Omit<ApiKeyDescription, 'userId'> {
  const { userId: _, ...shown } = describeKey(apiKey, now);
  return shown;
}

/** A key just issued, with the raw key: the one answer that holds it. */
export function presentIssued({ key, apiKey }: IssuedApiKey) {
  return { ...presentKey(apiKey), key };
}

/** An event of the trail. */
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
