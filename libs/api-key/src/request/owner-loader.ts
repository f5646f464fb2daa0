import { HttpException } from '@nestjs/common';
import { ApiKeyRefusal } from '../api-key.errors';
import type { ResolvedApiKeyOptions } from '../api-key.options';

/** Turns the owner of a key into the user of the request, through the option `loadUser`. */
export class OwnerLoader {
  constructor(private readonly options: Pick<ResolvedApiKeyOptions, 'loadUser'>) {}

  /**
   * The user, or null where there is none any more: anything falsy is nobody.
   * @throws ApiKeyRefusal `KEY_STORE_UNAVAILABLE` where `loadUser` fails, or its own HttpException
   */
  async load(userId: string): Promise<unknown> {
    try {
      return (await this.options.loadUser(userId)) || null;
    } catch (error) {
      throw error instanceof HttpException
        ? error
        : new ApiKeyRefusal('KEY_STORE_UNAVAILABLE', { cause: error });
    }
  }
}
