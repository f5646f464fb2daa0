import type { ArgumentsHost, ExecutionContext, HttpException } from '@nestjs/common';
import type { RequestTrail } from '../audit/request-trail';
import { ApiKeyRefusal, asProblem } from '../model/api-key.errors';
import type { Caller } from '../model/caller';
import { callerOf, hasAnswerBegun, headerOf, NOT_STORED, requestOf, setHeaders } from './http-exchange';
import { PROBLEM, prefersProblem } from './problem-details';

/**
 * Records a refusal that is not yet in the audit trail, and sets the headers of the refusal.
 * @throws the given error; a refusal is thrown in the form that the client prefers
 */
export function refuse(error: unknown, context: ExecutionContext, realm: string, trail: RequestTrail): never {
  tellRefusal(error, callerOf(context), trail);
  return answer(error, context, realm);
}

/**
 * Sets the headers of a refusal, and throws the refusal.
 * @throws the given error; a refusal is thrown in the form that the client prefers
 */
export function answer(error: unknown, context: ExecutionContext, realm: string): never {
  throw error instanceof ApiKeyRefusal ? answerTo(error, context, realm) : error;
}

/** Records a refusal in the audit trail. If keys cannot be verified, also logs the cause. */
export function tellRefusal(error: unknown, caller: Caller, trail: RequestTrail): void {
  if (!(error instanceof ApiKeyRefusal)) return;
  if (error.refused) trail.refused(error.refused, caller);
  if (error.code === 'KEY_STORE_UNAVAILABLE') trail.unavailable(error.cause);
}

/**
 * Returns the answer to a refused request, in the form that the client prefers. Sets the headers of
 * the answer and `Vary` (RFC 9110 section 12.5.5), unless the application has begun to answer. No
 * cache may store this answer, whatever `Cache-Control` the application has set.
 * @param refusal a refusal of this library, or an exception with the same body: `{ statusCode,
 *   error, message }`
 */
export function answerTo(refusal: HttpException, host: ArgumentsHost, realm: string): HttpException {
  if (hasAnswerBegun(host)) return refusal;
  if (refusal instanceof ApiKeyRefusal) setHeaders(host, refusal.headers(realm));
  setHeaders(host, { Vary: variedBy('Accept', headerOf(host, 'Vary')), ...NOT_STORED });
  if (!prefersProblem(requestOf(host))) return refusal;
  setHeaders(host, { 'Content-Type': PROBLEM });
  return asProblem(refusal);
}

function variedBy(name: string, known: string): string {
  const names = known.split(/[ ,]+/).filter((other) => other !== '');
  const isSaid = names.some((other) => other === '*' || other.toLowerCase() === name.toLowerCase());
  return isSaid ? known : [...names, name].join(', ');
}
