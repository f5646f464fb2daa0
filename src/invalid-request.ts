import {
  type ArgumentsHost,
  BadRequestException,
  Catch,
  type ExceptionFilter,
  HttpStatus,
  ValidationPipe,
} from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';

/** Says of every request that does not fit, whichever part of it, `{ statusCode, error: "INVALID_REQUEST", message: […] }`. */
@Catch(BadRequestException)
export class InvalidRequestFilter implements ExceptionFilter<BadRequestException> {
  constructor(private readonly adapterHost: HttpAdapterHost) {}

  catch(exception: BadRequestException, host: ArgumentsHost): void {
    const { httpAdapter } = this.adapterHost;
    const body = {
      statusCode: HttpStatus.BAD_REQUEST,
      error: 'INVALID_REQUEST',
      message: messagesOf(exception),
    };
    httpAdapter.reply(host.switchToHttp().getResponse(), body, HttpStatus.BAD_REQUEST);
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

function messagesOf(exception: BadRequestException): string[] {
  const response = exception.getResponse();
  const message = typeof response === 'object' ? (response as { message?: unknown }).message : response;
  return Array.isArray(message) ? message : [String(message)];
}
