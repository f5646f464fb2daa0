import { RouterExecutionContext } from '@nestjs/core/router/router-execution-context';
import type { RouteHandler } from '../transport/route-method';

/**
 * The handler that Nest receives for a method. Tracing agents patch `RouterExecutionContext.create`
 * and wrap the handler there, after all decorators: `@opentelemetry/instrumentation-nestjs-core`
 * 0.70.0 and `@sentry/nestjs` 10.75.3 do this. Nest's own `create` first reads the metadata of the
 * given handler.
 * @returns the method itself if nothing wraps it; undefined if a wrapper fails before it calls Nest
 */
export function handlerKnownToNest(
  instance: object,
  handler: object,
  method: string,
): RouteHandler | undefined {
  let known: RouteHandler | undefined;
  const getMetadata = (_instance: object, given: RouteHandler) => {
    known = given;
    throw new Error('only asked for the handler');
  };
  const probe = Object.create(RouterExecutionContext.prototype, { getMetadata: { value: getMetadata } });
  try {
    probe.create(instance, handler, method, '', 0);
  } catch {}
  return known;
}
