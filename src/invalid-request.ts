import { type ArgumentsHost, Catch, HttpException, HttpStatus, ValidationPipe } from '@nestjs/common';
import { BaseExceptionFilter, HttpAdapterHost } from '@nestjs/core';

/** Says of every request that does not fit, whichever part of it, `{ statusCode, error: "INVALID_REQUEST", message: […] }`. */
@Catch(HttpException)
export class InvalidRequestFilter extends BaseExceptionFilter<HttpException> {
  constructor(adapterHost: HttpAdapterHost) {
    super(adapterHost.httpAdapter);
  }

  override catch(exception: HttpException, host: ArgumentsHost): void {
    super.catch(
      exception.getStatus() === HttpStatus.BAD_REQUEST ? invalidRequest(exception) : exception,
      host,
    );
  }
}

/** Bodies and queries hold the fields of their class and no others. */
export function validationPipe(): ValidationPipe {
  return new ValidationPipe({
    transform: true,
    whitelist: true,
    forbidNonWhitelisted: true,
    validationError: { target: false, value: false },
  });
}

function invalidRequest(exception: HttpException): HttpException {
  const response = exception.getResponse();
  const message = typeof response === 'object' ? (response as { message?: unknown }).message : response;
  const body = {
    statusCode: HttpStatus.BAD_REQUEST,
    error: 'INVALID_REQUEST',
    message: Array.isArray(message) ? message : [String(message)],
  };
  return new HttpException(body, HttpStatus.BAD_REQUEST, { cause: exception });
}
