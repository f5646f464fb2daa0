import type { CallHandler, ExecutionContext, NestInterceptor } from '@nestjs/common';
import { type Acting, copyOfActing } from '../index';

/** Returns on whose behalf a request acts. */
export type ActingOfRequest = (context: ExecutionContext) => Acting | Promise<Acting>;

/**
 * Notes on whose behalf each request acts, after the guards. An interceptor, because pipes of the
 * application would change or refuse a parameter of a handler.
 */
export class RequestActors implements NestInterceptor {
  private readonly actors = new WeakMap<object, Acting>();

  /** @param hasAdministrators whether a caller without an owner and a key may name owners */
  constructor(
    private readonly acting: ActingOfRequest,
    private readonly hasAdministrators: boolean,
  ) {}

  /** @throws Error if `acting` names no owner, no key and no administrator */
  async intercept(context: ExecutionContext, next: CallHandler): Promise<ReturnType<CallHandler['handle']>> {
    const acting = asObject(await this.acting(context));
    if (this.isAdministrator(acting) && typeof acting.actor?.type !== 'string')
      throw new Error(
        'ApiKeyManagementModule: option "acting" must return userId, apiKey, or the actor of an administrator',
      );
    this.actors.set(context.switchToHttp().getRequest(), acting);
    return next.handle();
  }

  /** @throws Error if the interceptor did not run for this request */
  of(request: object): Acting {
    const acting = this.actors.get(request);
    if (acting) return acting;
    throw new Error(
      'ApiKeyManagementModule: who acts is unknown, because another object replaced the request',
    );
  }

  /** Whether an actor may name owners, and sees the owner of each key. */
  isAdministrator(acting: Acting): boolean {
    return this.hasAdministrators && !('userId' in acting) && !('apiKey' in acting);
  }
}

function asObject(acting: Acting): Acting {
  if (typeof acting === 'object' && acting !== null) return copyOfActing(acting);
  throw new Error('ApiKeyManagementModule: option "acting" must return an object');
}
