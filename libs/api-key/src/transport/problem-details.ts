import Negotiator from 'negotiator';
import { type ApiKeyRequest, headOf } from './http-exchange';

/** Media type of RFC 9457 problem details. */
export const PROBLEM = 'application/problem+json';

/**
 * Maximum length of an `Accept` header that is read, in characters. Parsing a longer header would
 * take milliseconds. Browsers send about 150 characters.
 */
const MAX_ACCEPT_LENGTH = 1_024;

/**
 * Returns whether the client names problem details in `Accept` and does not prefer plain JSON (RFC
 * 9110 §12.5.1). A header longer than `MAX_ACCEPT_LENGTH` is ignored, as RFC 9110 §12.5.1 allows.
 */
export function prefersProblem(request: ApiKeyRequest): boolean {
  const { accept } = headOf(request).headers;
  if (accept === undefined || accept.length > MAX_ACCEPT_LENGTH) return false;
  if (!accept.toLowerCase().includes(PROBLEM)) return false;
  return new Negotiator({ headers: { accept } }).mediaType(['application/json', PROBLEM]) === PROBLEM;
}
