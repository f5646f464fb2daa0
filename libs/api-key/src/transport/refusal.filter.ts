import { type ArgumentsHost, Catch, type HttpException, Inject } from '@nestjs/common';
import { BaseExceptionFilter } from '@nestjs/core';
import { ApiKeyRefusal } from '../model/api-key.errors';
import { API_KEY_OPTIONS, type ResolvedApiKeyOptions } from '../options/api-key.options';
import { answerTo } from './answer-refusal';

/**
 * Answers an `ApiKeyRefusal` over HTTP in the same way as the guards, whatever code throws the
 * refusal. Sets the headers of the refusal, and sends problem details to clients that prefer them.
 * Use this filter if handlers or guards of the application throw refusals or call `ApiKeyService`.
 * @throws the refusal itself if the context is not HTTP
 */
@Catch(ApiKeyRefusal)
export class ApiKeyRefusalFilter extends BaseExceptionFilter<HttpException> {
  constructor(@Inject(API_KEY_OPTIONS) private readonly options: ResolvedApiKeyOptions) {
    super();
  }

  override catch(refusal: HttpException, host: ArgumentsHost): void {
    if (host.getType() !== 'http') throw refusal;
    super.catch(answerTo(refusal, host, this.options.realm), host);
  }
}
