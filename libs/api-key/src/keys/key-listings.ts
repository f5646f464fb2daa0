import { Injectable } from '@nestjs/common';
import { Trail } from '../audit/trail';
import { Database } from '../database/database';
import { refuseUnavailable } from '../database/store-errors';
import { type Acting, ownerOf } from '../model/acting';
import type { ApiKey } from '../model/api-key.entity';
import type { RecordedApiKeyEvent } from '../model/api-key.event';
import { actingAsStored, noKeysIfOfOwner, ownerAsStored } from './acting-as-stored';
import { API_KEY_DEFAULTS } from './defaults';
import { checkPage, keyIdOf, type ListApiKeysInput } from './input';
import { KeyRules } from './key-rules';
import { readTurn } from './lanes';
import { keyById, pageOfKeys } from './list-keys';

/** A page, newest first. `nextCursor` is null on the last page. */
export interface Page<Item> {
  readonly items: readonly Item[];
  readonly nextCursor: string | null;
}

/** A page of keys. */
export type ApiKeyPage = Page<ApiKey>;

/** A page of events. */
export type EventPage = Page<RecordedApiKeyEvent>;

/** Input of `ApiKeyService.events`. */
export type EventsInput = Pick<ListApiKeysInput, 'limit' | 'cursor'>;

const NO_OWNER = 'userId must be text; omit it to list the keys of all owners';

/** Reads keys and their events. */
@Injectable()
export class KeyListings {
  constructor(
    private readonly database: Database,
    private readonly trail: Trail,
    private readonly rules: KeyRules,
  ) {}

  /** See `ApiKeyService.get`. */
  async get(id: string, acting: Acting): Promise<ApiKey | null> {
    const [keyId, by] = [keyIdOf(id), await actingAsStored(this.database, acting)];
    if (keyId === null) return null;
    const wanted = { id: keyId, owner: ownerOf(by) };
    return keyById(this.database, wanted, readTurn(by), this.rules.derive).catch(refuseUnavailable);
  }

  /** See `ApiKeyService.list`. */
  async list(input: ListApiKeysInput, acting: Acting): Promise<ApiKeyPage> {
    checkPage(input);
    const by = await actingAsStored(this.database, acting);
    const owner = ownerOf(by);
    const { state, search, metadata, limit = API_KEY_DEFAULTS.pageSize, cursor = null } = input;
    const userId =
      input.userId === undefined
        ? undefined
        : await ownerAsStored(this.database, input.userId, NO_OWNER, owner);
    if (owner !== null && userId !== undefined && userId !== owner) return { items: [], nextCursor: null };
    const filter = { owner: owner ?? userId ?? null, state, search, metadata };
    const wanted = { ...filter, limit: limit + 1, before: cursor };
    const found = await pageOfKeys(this.database, wanted, readTurn(by), this.rules).catch((error) =>
      noKeysIfOfOwner(this.database, wanted.owner, error),
    );
    return pageOf(found, limit);
  }

  /** See `ApiKeyService.events`. */
  async events(id: string, input: EventsInput, acting: Acting): Promise<EventPage | null> {
    checkPage(input);
    const [keyId, by] = [keyIdOf(id), await actingAsStored(this.database, acting)];
    const owner = ownerOf(by);
    if (keyId === null) return null;
    const { limit = API_KEY_DEFAULTS.pageSize, cursor = null } = input;
    const found = await this.trail
      .of(keyId, { owner, before: cursor, limit: limit + 1 }, readTurn(by))
      .catch(refuseUnavailable);
    if (found.length === 0 && cursor === null && !(await this.get(keyId, by))) return null;
    return pageOf(found, limit);
  }
}

function pageOf<Item extends { readonly id: string }>(found: readonly Item[], limit: number): Page<Item> {
  const items = found.slice(0, limit);
  return { items, nextCursor: found.length > limit ? (items.at(-1) as Item).id : null };
}
