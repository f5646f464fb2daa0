import { type ArgumentsHost, Catch, type HttpException, Inject } from '@nestjs/common';
import { BaseExceptionFilter } from '@nestjs/core';
import { ApiKeyRefusal } from '../model/api-key.errors';
import { API_KEY_OPTIONS, type ResolvedApiKeyOptions } from '../options/api-key.options';
import { answerTo } from './answer-refusal';

/**
 * Answers an `ApiKeyRefusal` over HTTP, whoever threw it, as the guards answer theirs: with its headers, and as problem details
 * for callers that prefer them. For handlers and guards of the application that refuse by themselves, or call `ApiKeyService`.
 * @throws the refusal where it was not HTTP
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
