import { type ArgumentsHost, Catch, HttpException, HttpStatus } from '@nestjs/common';
import {
  ApiKeyAuthorityError,
  ApiKeyConflictError,
  ApiKeyInputError,
  ApiKeyPolicyError,
  ApiKeyRefusal,
  ApiKeyRefusalFilter,
} from '../index';
import { UnknownApiKey } from './found';
import { InvalidRequest } from './management.pipe';

/** Converts errors of `ApiKeyService` to HTTP responses. */
@Catch(
  ApiKeyInputError,
  ApiKeyConflictError,
  ApiKeyAuthorityError,
  ApiKeyPolicyError,
  ApiKeyRefusal,
  InvalidRequest,
  UnknownApiKey,
)
export class ManagementFilter extends ApiKeyRefusalFilter {
  override catch(error: Error, host: ArgumentsHost): void {
    super.catch(refusalOf(error), host);
  }
}

function refusalOf(error: Error): HttpException {
  if (error instanceof ApiKeyInputError) return new InvalidRequest(error.problems);
  if (error instanceof ApiKeyConflictError) return refusal(HttpStatus.CONFLICT, 'CONFLICT', error);
  if (error instanceof ApiKeyPolicyError) return policyRefusal(error);
  if (error instanceof ApiKeyAuthorityError) {
    const { missing } = error;
    return refusal(HttpStatus.FORBIDDEN, 'EXCEEDS_API_KEY', error, missing.length > 0 ? { missing } : {});
  }
  return error as HttpException;
}

function policyRefusal(error: ApiKeyPolicyError): HttpException {
  const { rule } = error;
  if (rule === 'maxActiveKeys') return refusal(HttpStatus.CONFLICT, 'TOO_MANY_KEYS', error, { rule });
  return new InvalidRequest([error.message], { rule });
}

function refusal(statusCode: HttpStatus, code: string, { message }: Error, more: object = {}): HttpException {
  return new HttpException({ statusCode, error: code, message, ...more }, statusCode);
}
