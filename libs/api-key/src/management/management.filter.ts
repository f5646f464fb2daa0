import { type ArgumentsHost, Catch, HttpException, HttpStatus } from '@nestjs/common';
import { BaseExceptionFilter } from '@nestjs/core';
import { ApiKeyAuthorityError, ApiKeyConflictError, ApiKeyInputError, ApiKeyRefusal } from '../index';
import { invalidRequest } from './management.pipe';

interface HeaderWriter {
  header(name: string, value: string): unknown;
}

/** Says over HTTP what the service says in its errors. */
@Catch(ApiKeyInputError, ApiKeyConflictError, ApiKeyAuthorityError, ApiKeyRefusal)
export class ManagementFilter extends BaseExceptionFilter {
  override catch(error: Error, host: ArgumentsHost): void {
    const response = host.switchToHttp().getResponse<HeaderWriter>();
    for (const [name, value] of Object.entries(headersOf(error))) response.header(name, value);
    super.catch(exceptionOf(error), host);
  }
}

function exceptionOf(error: Error): HttpException {
  if (error instanceof ApiKeyInputError) return invalidRequest(error.problems);
  if (error instanceof ApiKeyConflictError) return refusal(HttpStatus.CONFLICT, 'CONFLICT', error);
  if (error instanceof ApiKeyAuthorityError) {
    const { missing } = error;
    return missing.length > 0
      ? refusal(HttpStatus.FORBIDDEN, 'INSUFFICIENT_SCOPE', error, { missing })
      : refusal(HttpStatus.FORBIDDEN, 'EXCEEDS_API_KEY', error);
  }
  return error as HttpException;
}

function refusal(statusCode: HttpStatus, code: string, { message }: Error, more: object = {}): HttpException {
  return new HttpException({ statusCode, error: code, message, ...more }, statusCode);
}

/** Guards have set the headers of their refusals; those of the service are set here. */
function headersOf(error: Error): Record<string, string> {
  if (error instanceof ApiKeyAuthorityError && error.missing.length > 0)
    return { 'WWW-Authenticate': `Bearer error="insufficient_scope", scope="${error.missing.join(' ')}"` };
  return error instanceof ApiKeyRefusal && error.code === 'KEY_STORE_UNAVAILABLE' ? error.headers('') : {};
}
