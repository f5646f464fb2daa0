import { HttpException } from '@nestjs/common';
import type { ApiKey } from '../api-key.entity';
import { ApiKeyRefusal } from '../api-key.errors';
import type { ResolvedApiKeyOptions } from '../api-key.options';
import { type Eventually, rescue, then } from '../eventually';

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
  load(apiKey: ApiKey): Eventually<unknown> {
    const loaded = rescue(() => this.memory.find(apiKey.userId, this.options.loadUser), refuseFailed);
    return then(loaded, (user) => user || refuseNobody(apiKey));
  }
}

function refuseNobody(apiKey: ApiKey): never {
  const refused = { reason: 'owner', apiKey, masked: apiKey.masked } as const;
  throw new ApiKeyRefusal('INVALID_API_KEY', { refused });
}

function refuseFailed(error: unknown): never {
  throw error instanceof HttpException ? error : new ApiKeyRefusal('KEY_STORE_UNAVAILABLE', { cause: error });
}
