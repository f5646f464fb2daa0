import Negotiator from 'negotiator';
import { type ApiKeyRequest, headOf } from './http-exchange';

/** The media type of RFC 9457. */
export const PROBLEM = 'application/problem+json';

/**
 * Characters of `Accept` that are read. The order of preference of a longer header would take
 * milliseconds, and no client sends one: browsers send about 150 characters.
 */
const MAX_ACCEPT_LENGTH = 1_024;

/**
 * Whether the caller names problem details in `Accept` (RFC 9110 §12.5.1) and does not prefer plain
 * JSON. A longer `Accept` is not read. RFC 9110 §12.5.1 allows the server to disregard it.
 */
export function prefersProblem(request: ApiKeyRequest): boolean {
  const { accept } = headOf(request).headers;
  if (accept === undefined || accept.length > MAX_ACCEPT_LENGTH) return false;
  if (!accept.toLowerCase().includes(PROBLEM)) return false;
  return new Negotiator({ headers: { accept } }).mediaType(['application/json', PROBLEM]) === PROBLEM;
}
