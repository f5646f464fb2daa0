import {
  type ArgumentMetadata,
  BadRequestException,
  HttpStatus,
  type ValidationError,
  ValidationPipe,
} from '@nestjs/common';

/** More levels than any valid body has, even with metadata of 32 levels. */
const MAX_LEVELS = 34;
/**
 * Matches a name that may be a mistyped field. The name is too short to be a raw key, so an error
 * may print it.
 */
const FIELD_NAME = /^[A-Za-z_]\w{0,30}$/;

/**
 * Accepts only the declared fields of a body or query. The pipes of the application do not change
 * this.
 */
export function managementPipe(): ValidationPipe {
  return new ManagementPipe({
    transform: true,
    whitelist: true,
    forbidNonWhitelisted: true,
    validationError: { target: false, value: false },
    exceptionFactory: (errors) => new InvalidRequest(sentences(errors)),
  });
}

/** The response to an invalid request. */
export class InvalidRequest extends BadRequestException {
  constructor(problems: readonly string[], more: object = {}) {
    const message = [...new Set(problems)];
    super({ statusCode: HttpStatus.BAD_REQUEST, error: 'INVALID_REQUEST', message, ...more });
  }
}

/**
 * Rejects bodies that `ValidationPipe` does not handle: a body that nests too deep overflows the
 * stack, and fields with a name of `Object.prototype` are not checked.
 */
class ManagementPipe extends ValidationPipe {
  override async transform(value: unknown, metadata: ArgumentMetadata): Promise<unknown> {
    if (metadata.type === 'body' && !isSound(value))
      throw new InvalidRequest([
        'the body must be a JSON object that nests at most 32 levels, without fields such as __proto__',
      ]);
    return super.transform(value, metadata);
  }
}

function isSound(body: unknown): boolean {
  if (body === undefined) return true;
  return (
    typeof body === 'object' && body !== null && !Array.isArray(body) && hasSoundFields(body, MAX_LEVELS)
  );
}

function hasSoundFields(value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return true;
  return (
    levels > 0 &&
    Object.entries(value).every(
      ([name, inner]) => !(name in Object.prototype) && hasSoundFields(inner, levels - 1),
    )
  );
}

function sentences(errors: readonly ValidationError[], path = ''): string[] {
  return errors.flatMap(({ property, constraints = {}, children = [] }) => [
    ...Object.entries(constraints).map(([rule, words]) =>
      rule === 'whitelistValidation' ? path + unknownField(property) : path + words,
    ),
    ...sentences(children, `${path}${property}.`),
  ]);
}

function unknownField(name: string): string {
  return FIELD_NAME.test(name) ? `${name} cannot be set` : 'the body has a field that cannot be set';
}
