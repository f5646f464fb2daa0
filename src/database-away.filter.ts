import { type ArgumentsHost, Catch, HttpException, HttpStatus } from '@nestjs/common';
import { BaseExceptionFilter, HttpAdapterHost } from '@nestjs/core';

/** Codes of sockets that find nobody, and SQLSTATE classes 08 (connection) and 57 (shut down, cancelled). */
const AWAY = /^(?:ECONN|EPIPE|ETIMEDOUT|EHOSTUNREACH|ENOTFOUND|08|57)/;
/** What `pg` says without a code. */
const AWAY_IN_WORDS = /connection terminated|timeout|query_wait|client has encountered a connection error/i;

/** Says 503 where the database of a handler is away: that is no fault of the request, and it may come again. */
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
