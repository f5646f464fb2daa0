import { optionalSwagger } from '../index';

/** The summary of an operation in the OpenAPI document, where the application has `@nestjs/swagger`. */
export function marked(summary: string): MethodDecorator {
  return optionalSwagger()?.ApiOperation({ summary }) ?? (() => {});
}

/** A property of a body in the OpenAPI document, where the application has `@nestjs/swagger`. */
export function Documented(schema: Readonly<Record<string, unknown>>): PropertyDecorator {
  return optionalSwagger()?.ApiProperty(schema) ?? (() => {});
}
