import {
  type ArgumentMetadata,
  BadRequestException,
  HttpStatus,
  type ValidationError,
  ValidationPipe,
} from '@nestjs/common';

/** Deeper than any body of ours, metadata of 32 levels included. */
const MAX_LEVELS = 34;
/** A name that a person may have mistyped, and too short for a key. */
const FIELD_NAME = /^[A-Za-z_]\w{0,30}$/;

/** Bodies and queries of the management routes hold the fields of their class and no others, whatever pipes the application has. */
export function managementPipe(): ValidationPipe {
  return new ManagementPipe({
    transform: true,
    whitelist: true,
    forbidNonWhitelisted: true,
    validationError: { target: false, value: false },
    exceptionFactory: (errors) => new InvalidRequest(sentences(errors)),
  });
}

/** The answer to a request that does not fit. */
export class InvalidRequest extends BadRequestException {
  constructor(problems: readonly string[]) {
    const message = [...new Set(problems)];
    super({ statusCode: HttpStatus.BAD_REQUEST, error: 'INVALID_REQUEST', message });
  }
}

/** Validation overflows the stack on bodies that nest too deep, and skips fields named as those of every object. */
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
  return FIELD_NAME.test(name) ? `${name} cannot be set` : 'there is a field that cannot be set';
}
