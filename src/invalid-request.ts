import { STATUS_CODES } from 'node:http';
import {
  type ArgumentMetadata,
  type ArgumentsHost,
  BadRequestException,
  Catch,
  HttpException,
  HttpStatus,
  NotFoundException,
  type ValidationError,
  ValidationPipe,
} from '@nestjs/common';
import { BaseExceptionFilter, HttpAdapterHost } from '@nestjs/core';

const UNREADABLE =
  'The body cannot be read: send JSON that is complete, of the length and encoding that the headers tell.';
/**
 * Pattern of field names that the response may repeat. A person may have mistyped such a name. The
 * maximum of 31 characters is too short for a key.
 */
const FIELD_NAME = /^[A-Za-z_]\w{0,30}$/;
const ODD_SHAPE = 'It nests too deep, or has a field with a name that every object has.';
const MAX_DEPTH = 20;

/**
 * Answers every invalid request with `{ statusCode, error: "INVALID_REQUEST", message: […] }`. The
 * response omits messages of the framework, because these messages may contain a part of the
 * request.
 */
@Catch(HttpException)
export class InvalidRequestFilter extends BaseExceptionFilter<HttpException> {
  constructor(adapterHost: HttpAdapterHost) {
    super(adapterHost.httpAdapter);
  }

  override catch(exception: HttpException, host: ArgumentsHost): void {
    const ours = inOurWords(exception);
    super.catch(ours.getStatus() === HttpStatus.BAD_REQUEST ? invalidRequest(ours) : ours, host);
  }
}

/** Creates the error for a URL that cannot be decoded. */
export function noSuchAddress(): HttpException {
  return new NotFoundException('There is nothing at this address.');
}

/**
 * Creates the pipe that validates requests. The body and the query may contain only the fields of
 * their class.
 */
export function validationPipe(): ValidationPipe {
  return new ShapePipe({
    transform: true,
    whitelist: true,
    forbidNonWhitelisted: true,
    validationError: { target: false, value: false },
    exceptionFactory: (errors) => new BadRequestException([...new Set(sentences(errors))]),
  });
}

/**
 * A pipe that validates only values of an ordinary shape and refuses other values. On other values,
 * the validation would overflow the stack or miss fields.
 */
class ShapePipe extends ValidationPipe {
  override async transform(value: unknown, metadata: ArgumentMetadata): Promise<unknown> {
    if (metadata.type !== 'custom' && !hasOrdinaryShape(value)) throw new BadRequestException(ODD_SHAPE);
    return super.transform(value, metadata);
  }
}

function hasOrdinaryShape(value: unknown, depth = MAX_DEPTH): boolean {
  if (typeof value !== 'object' || value === null) return true;
  if (depth === 0) return false;
  return Object.entries(value).every(
    ([name, inner]) =>
      name !== 'prototype' && !(name in Object.prototype) && hasOrdinaryShape(inner, depth - 1),
  );
}

/**
 * Returns one sentence for each error, with the path of its field. Field names are the only part of
 * the request that the sentences repeat.
 */
function sentences(errors: readonly ValidationError[], path = ''): string[] {
  return errors.flatMap(({ property, constraints = {}, children = [] }) => [
    ...Object.entries(constraints).map(([rule, sentence]) =>
      rule === 'whitelistValidation' ? path + unknownField(property) : path + sentence,
    ),
    ...sentences(children, `${path}${property}.`),
  ]);
}

function unknownField(name: string): string {
  return FIELD_NAME.test(name)
    ? `${name} is not a field of this request`
    : 'there is a field that is not known here';
}

function inOurWords(exception: HttpException): HttpException {
  const { cause } = exception;
  if (cause instanceof URIError) return noSuchAddress();
  if (!(cause instanceof Error && 'statusCode' in cause)) return exception;
  const status = exception.getStatus();
  return new HttpException(
    status === HttpStatus.BAD_REQUEST ? UNREADABLE : (STATUS_CODES[status] ?? ''),
    status,
    { cause },
  );
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
