import { createParamDecorator, type ExecutionContext, type PipeTransform, type Type } from '@nestjs/common';
import type { ApiKey } from '../model/api-key.entity';
import { type Authentication, authenticationOf } from './authenticated-request';
import { requestOf } from './http-exchange';

/**
 * A decorator of a parameter, which takes one property and pipes. Written out, because the type
 * that TypeScript infers names types that only one version of Nest has.
 */
type ParameterOf<Property extends string> = (
  ...propertyOrPipes: (Property | PipeTransform | Type<PipeTransform> | undefined)[]
) => ParameterDecorator;

/**
 * Injects the user of the request's key, as `loadUser` returned it, or one property of the user.
 * Injects undefined on a `@Public` route.
 */
export const CurrentUser: ParameterOf<string> = createParamDecorator(
  (property: string | undefined, context: ExecutionContext) => pick(found(context)?.user, property),
);

/**
 * Injects the `ApiKey` of the request, or one property of the key. Injects undefined on a `@Public`
 * route.
 */
export const CurrentApiKey: ParameterOf<keyof ApiKey & string> = createParamDecorator(
  (property: (keyof ApiKey & string) | undefined, context: ExecutionContext) =>
    pick(found(context)?.apiKey, property),
);

function found(context: ExecutionContext): Authentication | undefined {
  return authenticationOf(requestOf(context));
}

function pick(value: unknown, property: string | undefined): unknown {
  return property === undefined ? value : (value as Record<string, unknown> | null | undefined)?.[property];
}
