import { HttpException } from '@nestjs/common';
import type { ApiKey } from '../api-key.entity';
import { ApiKeyRefusal } from '../api-key.errors';
import type { ResolvedApiKeyOptions } from '../api-key.options';

/** Remembers users for a while. */
interface OwnerMemory {
  find(userId: string, load: (userId: string) => unknown): unknown;
}

/** Turns the owner of a key into the user of the request, through the option `loadUser`. */
export class OwnerLoader {
  constructor(
    private readonly options: Pick<ResolvedApiKeyOptions, 'loadUser'>,
    private readonly memory: OwnerMemory,
  ) {}

  /**
   * The user of a key.
   * @throws ApiKeyRefusal `INVALID_API_KEY` where there is none any more: anything falsy is nobody;
   *   `KEY_STORE_UNAVAILABLE` where `loadUser` fails, or its own HttpException
   */
  async load(apiKey: ApiKey): Promise<unknown> {
    const user = await this.ask(apiKey.userId);
    if (user) return user;
    const refused = { reason: 'owner', apiKey, masked: apiKey.masked } as const;
    throw new ApiKeyRefusal('INVALID_API_KEY', { refused });
  }

  private async ask(userId: string): Promise<unknown> {
    try {
      return await this.memory.find(userId, this.options.loadUser);
    } catch (error) {
      throw error instanceof HttpException
        ? error
        : new ApiKeyRefusal('KEY_STORE_UNAVAILABLE', { cause: error });
    }
  }
}
