import type { CallHandler, ExecutionContext, NestInterceptor } from '@nestjs/common';
import type { Acting } from '../index';

/**
 * Notes on whose behalf each request acts, after the guards. An interceptor, because pipes of the
 * application would change or refuse a parameter of a handler.
 */
export class RequestActors implements NestInterceptor {
  private readonly actors = new WeakMap<object, Acting>();

  constructor(private readonly acting: (context: ExecutionContext) => Acting) {}

  intercept(context: ExecutionContext, next: CallHandler): ReturnType<CallHandler['handle']> {
    this.actors.set(context.switchToHttp().getRequest(), this.acting(context));
    return next.handle();
  }

  of(request: object): Acting {
    const acting = this.actors.get(request);
    if (!acting) throw new Error('the interceptor of the management routes did not run');
    return acting;
  }
}
