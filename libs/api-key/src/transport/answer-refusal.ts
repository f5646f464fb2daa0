import type { ArgumentsHost, ExecutionContext, HttpException } from '@nestjs/common';
import type { RequestTrail } from '../audit/request-trail';
import { ApiKeyRefusal, asProblem } from '../model/api-key.errors';
import { type Eventually, inTime, isPending } from '../model/eventually';
import { type Caller, callerOf, headerOf, requestOf, setHeaders } from './http-exchange';
import { PROBLEM, prefersProblem } from './problem-details';

/**
 * Refuses a request: sets the headers that belong to the refusal and tells the trail.
 * @throws the error that is given, always; a refusal in the form that the caller prefers
 */
export function refuse(error: unknown, context: ExecutionContext, realm: string, trail: RequestTrail): never {
  if (!(error instanceof ApiKeyRefusal)) throw error;
  tellRefusal(error, callerOf(context), trail);
  throw answerTo(error, context, realm);
}

/** Tells the trail of a refusal, and the log why keys cannot be judged. */
export function tellRefusal(error: unknown, caller: Caller, trail: RequestTrail): void {
  if (!(error instanceof ApiKeyRefusal)) return;
  if (error.refused) trail.refused(error.refused, caller);
  if (error.code === 'KEY_STORE_UNAVAILABLE') trail.unavailable(error.cause);
}

/**
 * What a refused request is answered, in the form that its caller prefers; the headers that belong to the answer are set, `Vary` as
 * well (RFC 9110 section 12.5.5).
 * @param refusal ours, or one with the body of ours: `{ statusCode, error, message }`
 */
export function answerTo(refusal: HttpException, host: ArgumentsHost, realm: string): HttpException {
  if (refusal instanceof ApiKeyRefusal) setHeaders(host, refusal.headers(realm));
  setHeaders(host, { Vary: variedBy('Accept', headerOf(host, 'Vary')) });
  if (!prefersProblem(requestOf(host))) return refusal;
  setHeaders(host, { 'Content-Type': PROBLEM });
  return asProblem(refusal);
}

/**
 * Hands on who a request comes from, known in time.
 * @throws ApiKeyRefusal `KEY_STORE_UNAVAILABLE` where that is not known after so many milliseconds
 */
export function refuseLate<T>(deadlineMs: number, found: Eventually<T>): Eventually<T> {
  if (!isPending(found)) return found;
  return inTime(deadlineMs, found, () => {
    const cause = new Error(`no answer within ${deadlineMs} ms (cache.lookUpTimeoutMs)`);
    return new ApiKeyRefusal('KEY_STORE_UNAVAILABLE', { cause });
  });
}

function variedBy(name: string, known: string): string {
  const names = known.split(/[ ,]+/).filter((other) => other !== '');
  const isSaid = names.some((other) => other === '*' || other.toLowerCase() === name.toLowerCase());
  return isSaid ? known : [...names, name].join(', ');
}
