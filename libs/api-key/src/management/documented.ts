import type { Type } from '@nestjs/common';
import { optionalSwagger } from '../index';

type Schema = Readonly<Record<string, unknown>>;

const FIELDS = 'nestjs-api-key:documented';

/** Adds a property to the OpenAPI document, if the application has `@nestjs/swagger`. */
export function Documented(schema: Schema): PropertyDecorator {
  return (prototype, name) => {
    Reflect.defineMetadata(FIELDS, { ...fieldsOn(prototype), [name]: schema }, prototype);
    optionalSwagger()?.ApiProperty({ ...schema })(prototype, name);
  };
}

/** The schemas of the documented properties of a class and its superclasses, by name. */
export function documentedFields({ prototype }: Type): Readonly<Record<string, Schema>> {
  return fieldsOn(prototype);
}

function fieldsOn(prototype: object): Readonly<Record<string, Schema>> {
  return Reflect.getMetadata(FIELDS, prototype) ?? {};
}
