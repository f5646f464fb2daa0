import {
  type ArgumentsHost,
  type CallHandler,
  Catch,
  type ExecutionContext,
  type NestInterceptor,
} from '@nestjs/common';
import { BaseExceptionFilter, HttpAdapterHost } from '@nestjs/core';
import { EmptyError, ignoreElements, type Observable, tap } from 'rxjs';

/**
 * Sends what a handler returns before interceptors of the application see it. They could log or
 * cache an answer, which has a raw key or belongs to one owner, or change it.
 *
 * Nest fails with `EmptyError`, because no value is left for it to send. Use this class as
 * interceptor and as filter of a controller.
 */
@Catch(EmptyError)
export class DirectAnswers extends BaseExceptionFilter implements NestInterceptor {
  private readonly answered = new WeakSet<object>();

  constructor(private readonly host: HttpAdapterHost) {
    super();
  }

  intercept(context: ExecutionContext, next: CallHandler): Observable<never> {
    const response: object = context.switchToHttp().getResponse();
    const send = (body: unknown) => {
      this.host.httpAdapter.reply(response, body);
      this.answered.add(response);
    };
    return next.handle().pipe(tap(send), ignoreElements());
  }

  override catch(error: EmptyError, host: ArgumentsHost): void {
    if (!this.answered.has(host.switchToHttp().getResponse())) super.catch(error, host);
  }
}
