import Negotiator from 'negotiator';
import { type ApiKeyRequest, headOf } from './http-exchange';

/** The media type of RFC 9457. */
export const PROBLEM = 'application/problem+json';

/**
 * Whether the caller names problem details in `Accept` (RFC 9110 §12.5.1) and does not prefer plain
 * JSON.
 */
export function prefersProblem(request: ApiKeyRequest): boolean {
  const { accept } = headOf(request).headers;
  if (!accept?.toLowerCase().includes(PROBLEM)) return false;
  return new Negotiator({ headers: { accept } }).mediaType(['application/json', PROBLEM]) === PROBLEM;
}
