import { type ArgumentsHost, Catch, HttpException, HttpStatus } from '@nestjs/common';
import { BaseExceptionFilter, HttpAdapterHost } from '@nestjs/core';

/**
 * Pattern of error codes that mean that the database is unavailable: failed connections, and
 * SQLSTATE classes 08 (connection) and 57 (shut down, cancelled).
 */
const AWAY = /^(?:ECONN|EPIPE|ETIMEDOUT|EHOSTUNREACH|ENOTFOUND|08|57)/;
/** Pattern of messages of `pg` errors without a code that mean that the database is unavailable. */
const AWAY_IN_WORDS = /connection terminated|timeout|query_wait|client has encountered a connection error/i;

/**
 * Answers 503 if a handler fails because its database is unavailable. The request is correct, so
 * the client may retry.
 */
@Catch()
export class DatabaseAwayFilter extends BaseExceptionFilter {
  constructor(adapterHost: HttpAdapterHost) {
    super(adapterHost.httpAdapter);
  }

  override catch(error: unknown, host: ArgumentsHost): void {
    super.catch(isAway(error) ? unavailable(error) : error, host);
  }
}

function isAway(error: unknown): error is Error {
  if (!(error instanceof Error) || error instanceof HttpException) return false;
  return AWAY.test(String((error as { code?: unknown }).code)) || AWAY_IN_WORDS.test(error.message);
}

function unavailable(cause: Error): HttpException {
  const statusCode = HttpStatus.SERVICE_UNAVAILABLE;
  const message = 'The database does not answer. Try again shortly.';
  return new HttpException({ statusCode, error: 'DATABASE_UNAVAILABLE', message }, statusCode, { cause });
}
