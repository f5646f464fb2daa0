import { optionalSwagger } from '../index';

/** Adds a summary to the OpenAPI document, if the application has `@nestjs/swagger`. */
export function marked(summary: string): MethodDecorator {
  return optionalSwagger()?.ApiOperation({ summary }) ?? (() => {});
}

/** Adds a property of a body to the OpenAPI document, if the application has `@nestjs/swagger`. */
export function Documented(schema: Readonly<Record<string, unknown>>): PropertyDecorator {
  return optionalSwagger()?.ApiProperty(schema) ?? (() => {});
}
