import { optionalSwagger } from '../index';

/** Adds a property to the OpenAPI document, if the application has `@nestjs/swagger`. */
export function Documented(schema: Readonly<Record<string, unknown>>): PropertyDecorator {
  return optionalSwagger()?.ApiProperty({ ...schema }) ?? (() => {});
}
