import type { CallHandler, ExecutionContext, NestInterceptor } from '@nestjs/common';
import type { Acting } from '../index';

/**
 * Notes on whose behalf each request acts, after the guards. An interceptor, because pipes of the
 * application would change or refuse a parameter of a handler.
 */
export class RequestActors implements NestInterceptor {
  private readonly actors = new WeakMap<object, Acting>();

  constructor(private readonly acting: (context: ExecutionContext) => Acting | Promise<Acting>) {}

  async intercept(context: ExecutionContext, next: CallHandler): Promise<ReturnType<CallHandler['handle']>> {
    this.actors.set(context.switchToHttp().getRequest(), await this.acting(context));
    return next.handle();
  }

  /** @throws Error if `acting` returned no object: nobody must not become an administrator */
  of(request: object): Acting {
    const acting = this.actors.get(request);
    if (typeof acting === 'object' && acting !== null) return acting;
    throw new Error('ApiKeyManagementModule: option "acting" must return an object');
  }
}
