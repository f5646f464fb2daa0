import { extractCredential } from '../credential/extract';
import { ApiKeyRefusal } from '../model/api-key.errors';
import type { RequestHead } from './request-head';

/**
 * The one credential that a request presents, not yet checked.
 * @throws ApiKeyRefusal `MISSING_API_KEY` where there is none, `INVALID_API_KEY` where there cannot be one
 */
export function presentedCredential(head: RequestHead, headerName: string): string {
  const presented = extractCredential(Reflect.get(head, 'rawHeaders'), headerName.toLowerCase());
  if (presented.kind === 'none') throw new ApiKeyRefusal('MISSING_API_KEY');
  if (presented.kind === 'malformed') throw malformedCredential();
  return presented.value;
}

/** The refusal of what cannot be one credential. */
export function malformedCredential(): ApiKeyRefusal {
  return new ApiKeyRefusal('INVALID_API_KEY', {
    refused: { reason: 'malformed', apiKey: null, masked: null },
  });
}
