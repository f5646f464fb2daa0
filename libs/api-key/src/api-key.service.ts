import { Inject, Injectable } from '@nestjs/common';
import { ChangeTrail } from './audit/change-trail';
import { RequestTrail } from './audit/request-trail';
import { Trail } from './audit/trail';
import { type InvalidKeyReason, isInvalid, KeyVerifier } from './authentication/key-verifier';
import { KeyDigests } from './credential/digest';
import { API_KEY_DATABASE } from './database/data-source';
import type { Database } from './database/database';
import { isUnfit, refuseMisfit, refuseUnavailable } from './database/store-errors';
import { storedOwner } from './database/stored-owner';
import { actingAsStored } from './keys/acting-as-stored';
import { createKey } from './keys/create-key';
import { deleteKey, type Revocation, revokeKeysOf } from './keys/end-keys';
import { type ImportOptions, type ImportReport, importInBatches } from './keys/import-batches';
import {
  type ApiKeyFields,
  type CreateApiKeyInput,
  checkChanges,
  checkDays,
  checkNewKey,
  checkOverlap,
  checkPage,
  keyIdOf,
  type ListApiKeysInput,
  ownerIdOf,
  type UpdateApiKeyInput,
} from './keys/input';
import { KeyChanges } from './keys/key-changes';
import { keyById, pageOfKeys } from './keys/list-keys';
import type { IssuedApiKey, MintOptions } from './keys/new-key';
import { pruneEvents, pruneKeys } from './keys/prune';
import { Revocations, type RevokeOptions, reasonOf } from './keys/revocation';
import { rotateKey } from './keys/rotate-key';
import { updateKey } from './keys/update-key';
import { Verification, type VerificationStatus } from './lookup/verification';
import { type Acting, ownerOf } from './model/acting';
import type { ApiKey } from './model/api-key.entity';
import { ApiKeyInputError } from './model/api-key.errors';
import type { RecordedApiKeyEvent } from './model/api-key.event';
import { API_KEY_OPTIONS, type ResolvedApiKeyOptions } from './options/api-key.options';
import { KeyUses } from './usage/key-uses';
import { type ApiKeyUsage, usageOf } from './usage/report';
import { UsageCounter } from './usage/usage-counter';

/** What `verify` found. */
export type VerifyResult =
  | { readonly ok: true; readonly apiKey: ApiKey }
  | { readonly ok: false; readonly reason: InvalidKeyReason };

/** A page, newest first. `nextCursor` is null on the last page. */
export interface Page<Item> {
  readonly items: readonly Item[];
  readonly nextCursor: string | null;
}

/** A page of keys. */
export type ApiKeyPage = Page<ApiKey>;

/** How long a rotated key still works, and how long its successor does. */
export interface RotateOptions {
  /** Seconds from 0 to 2,592,000 (30 days) that the old key still works; 0 ends it at once. Default 86,400. */
  overlapSeconds?: number;
  /** When the new key stops working; null: never. Default: it lives as long as the old one was given. */
  expiresAt?: Date | null;
}

/** What is removed for good. */
export interface PruneOptions {
  /** Keys that expired or were revoked more than so many days ago, 0 to 36,500. Default 90. */
  olderThanDays?: number;
  /** Events older than so many days, 0 to 36,500. Default 365. */
  eventsOlderThanDays?: number;
  /** Told how many keys and events are gone so far. */
  onProgress?: (removed: PruneReport) => void;
}

/** What was removed. */
export interface PruneReport {
  readonly keys: number;
  readonly events: number;
}

/** The keys of one owner. */
export interface RevokeAllInput extends Pick<RevokeOptions, 'reason' | 'everywhere'> {
  userId: string;
}

const NO_OWNER = 'userId must be text; leave it out to list the keys of all owners';
const DEFAULT_LIMIT = 50;
const DEFAULT_OVERLAP_SECONDS = 86_400;
const DEFAULT_PRUNE_DAYS = 90;
const DEFAULT_EVENT_PRUNE_DAYS = 365;

/** Issues, checks, changes and ends keys. Every call may name on whose behalf it acts. */
@Injectable()
export class ApiKeyService {
  private readonly catalogue: readonly string[] | null;

  constructor(
    @Inject(API_KEY_DATABASE) private readonly database: Database,
    @Inject(API_KEY_OPTIONS) private readonly options: ResolvedApiKeyOptions,
    private readonly digests: KeyDigests,
    private readonly verifier: KeyVerifier,
    private readonly verification: Verification,
    private readonly uses: KeyUses,
    private readonly usageCounter: UsageCounter,
    private readonly trail: Trail,
    private readonly changeTrail: ChangeTrail,
    private readonly changes: KeyChanges,
    private readonly revocations: Revocations,
    private readonly requests: RequestTrail,
  ) {
    this.catalogue = options.scopes && Object.keys(options.scopes);
  }

  /** How many events of requests were dropped since the start, for they came faster than they could be written. */
  get droppedEvents(): number {
    return this.requests.dropped;
  }

  /**
   * Issues a key. The raw key is in the answer and nowhere else. A key that acts hands its own bounds on where none are given.
   * @throws ApiKeyInputError where a field does not fit, or the owner does not exist
   * @throws ApiKeyAuthorityError where it would give more than the key that acts has
   * @throws ApiKeyRefusal `KEY_STORE_UNAVAILABLE` where the database does not take it
   */
  async create(input: CreateApiKeyInput, acting: Acting = {}): Promise<IssuedApiKey> {
    this.check(input);
    const by = await this.asStored(acting);
    const owner = ownerOf(by);
    const userId = await this.storedOwner(input.userId, 'userId must name the owner of the key');
    if (owner !== null && userId !== owner)
      throw new ApiKeyInputError(['userId names another owner than the one who acts']);
    return this.changes
      .make(by, (change) => createKey(change, { ...input, userId }, this.mint))
      .catch(refuseMisfit);
  }

  /**
   * Checks what a new key shall be, without issuing it.
   * @throws ApiKeyInputError where a field does not fit
   */
  check(input: ApiKeyFields): void {
    checkNewKey(input, this.catalogue, new Date());
  }

  /**
   * Checks a raw key, without noting a use. Anything that is not text is malformed.
   * @throws ApiKeyRefusal `KEY_STORE_UNAVAILABLE` where the database does not answer
   */
  async verify(key: unknown): Promise<VerifyResult> {
    const found = this.verifier.recall(key) ?? (await this.verifier.verify(key, null));
    return isInvalid(found) ? { ok: false, reason: found.reason } : { ok: true, apiKey: found };
  }

  /**
   * The row of a raw key that is valid now, its use noted, or null: for anything blank, unknown, expired, revoked.
   * @throws ApiKeyRefusal `KEY_STORE_UNAVAILABLE` where the database does not answer
   */
  async authenticate(key: unknown): Promise<ApiKey | null> {
    const found = this.verifier.recall(key) ?? (await this.verifier.verify(key, null));
    if (isInvalid(found)) return null;
    this.noteUse(found);
    return found;
  }

  /** Notes that a verified key was used now, for `last_used_at` and its usage. No I/O. */
  noteUse({ id }: ApiKey): void {
    this.uses.note(id);
  }

  /**
   * How much a key is used, and what is left of its quota; null where there is no such key. What other instances have not written
   * yet (`usage.intervalMs`) is missing.
   */
  async usage(id: string, acting: Acting = {}): Promise<ApiKeyUsage | null> {
    const apiKey = await this.get(id, acting);
    if (!apiKey) return null;
    if (this.usageCounter.has(apiKey.id)) await this.usageCounter.flush();
    return usageOf(this.database, apiKey).catch(refuseUnavailable);
  }

  /**
   * Has `loadUser` asked again for an owner: in this instance from now on, in the others once they hear of it, within
   * milliseconds. For changes outside of a users table that is watched (`watchUsers` of `apiKeyMigrations`).
   * @throws ApiKeyInputError where it is no owner
   * @throws ApiKeyRefusal `KEY_STORE_UNAVAILABLE` where the others cannot be told: they ask again after `cache.userCacheMs`
   */
  async evictOwner(userId: string): Promise<void> {
    const owner = await this.storedOwner(userId, 'userId must name the owner');
    await this.verification.evictOwner(owner).catch(refuseUnavailable);
  }

  /** How look-ups do in this instance, for health checks and metrics. */
  get verificationStatus(): VerificationStatus {
    return this.verification.status;
  }

  /** A key by its id, or null: an id that cannot be one is that of no key. */
  async get(id: string, acting: Acting = {}): Promise<ApiKey | null> {
    const owner = ownerOf(await this.asStored(acting));
    const keyId = keyIdOf(id);
    return keyId === null ? null : keyById(this.database, keyId, owner).catch(refuseUnavailable);
  }

  /**
   * Keys, newest first; of one owner where `userId` is given, or someone acts.
   * @throws ApiKeyInputError where limit, state or cursor cannot be used
   */
  async list(input: ListApiKeysInput = {}, acting: Acting = {}): Promise<ApiKeyPage> {
    checkPage(input);
    const owner = ownerOf(await this.asStored(acting));
    const { state, limit = DEFAULT_LIMIT, cursor = null } = input;
    const userId = input.userId === undefined ? undefined : await this.storedOwner(input.userId, NO_OWNER);
    if (owner !== null && userId !== undefined && userId !== owner) return { items: [], nextCursor: null };
    const wanted = { owner: owner ?? userId ?? null, state, limit: limit + 1, before: cursor };
    const found = await pageOfKeys(this.database, wanted).catch((error) =>
      isUnfit(error) ? [] : refuseUnavailable(error),
    );
    return pageOf(found, limit);
  }

  /**
   * Changes the given fields and no others; null where there is no such key.
   * @throws ApiKeyInputError where a field does not fit or cannot be set
   * @throws ApiKeyAuthorityError where it would give more than the key that acts has
   * @throws ApiKeyConflictError where the key is revoked
   */
  async update(id: string, changes: UpdateApiKeyInput, acting: Acting = {}): Promise<ApiKey | null> {
    checkChanges(changes, this.catalogue, new Date());
    const [keyId, by] = [keyIdOf(id), await this.asStored(acting)];
    if (keyId === null) return null;
    return this.changes.make(by, (change) => updateKey(change, keyId, changes)).catch(refuseMisfit);
  }

  /**
   * Issues the successor of a key, which inherits name, scopes, limit, addresses and metadata, and ends the old one after
   * the overlap at the latest; null where there is no such key. Of two rotations at once, one wins.
   * @throws ApiKeyInputError where the overlap or the expiry does not fit
   * @throws ApiKeyAuthorityError where the successor would have more than the key that acts
   * @throws ApiKeyConflictError where the key was rotated already, is revoked or has expired
   */
  async rotate(id: string, options: RotateOptions = {}, acting: Acting = {}): Promise<IssuedApiKey | null> {
    const { overlapSeconds = DEFAULT_OVERLAP_SECONDS, expiresAt } = options;
    checkOverlap(overlapSeconds);
    checkChanges({ expiresAt }, this.catalogue, new Date());
    const [keyId, by] = [keyIdOf(id), await this.asStored(acting)];
    if (keyId === null) return null;
    const rotation = { overlapSeconds, expiresAt };
    return this.changes
      .make(by, (change) => rotateKey(change, keyId, rotation, this.mint))
      .catch(refuseUnavailable);
  }

  /**
   * Ends a key for good. It is also expired from now on, for a Rails app on the same table knows
   * only that. Revoking again changes nothing. It is done even if the trail cannot be written: the
   * log tells it then.
   * @returns the key and what it made; null if there is no such key, nor any that it made
   * @throws ApiKeyInputError if the reason does not fit
   * @throws ApiKeyRefusal `INVALID_API_KEY` if the key that acts has ended meanwhile;
   *   `KEY_STORE_UNAVAILABLE` if the database fails
   */
  revoke(id: string, options: RevokeOptions = {}, acting: Acting = {}): Promise<Revocation | null> {
    return this.revocations.revoke(id, options, acting);
  }

  /**
   * Ends all keys of an owner, also those that are being made meanwhile; also if the trail cannot
   * be written, as `revoke`. What another application inserts or an import brings after it is not
   * ended.
   * @returns the keys that this call ended
   * @throws ApiKeyInputError if no owner is named, or the reason does not fit
   * @throws ApiKeyRefusal as `revoke`
   */
  async revokeAll(input: RevokeAllInput, acting: Acting = {}): Promise<ApiKey[]> {
    const reason = reasonOf(input);
    const by = await this.asStored(acting);
    const owner = ownerOf(by);
    const userId = await this.storedOwner(input.userId, 'userId must name the owner of the keys');
    if (owner !== null && owner !== userId) return [];
    const revoked = await this.changes
      .makeRegardless(by, (change) => revokeKeysOf(change, userId, reason))
      .catch((error) => (isUnfit(error) ? [] : refuseUnavailable(error)));
    if (input.everywhere) await this.revocations.outliveTrust();
    return revoked;
  }

  /**
   * Removes a key, which ends it at once; false if there is none. Its trail stays, and so does what
   * it made.
   */
  async delete(id: string, acting: Acting = {}): Promise<boolean> {
    const [keyId, by] = [keyIdOf(id), await this.asStored(acting)];
    if (keyId === null) return false;
    return this.changes.make(by, (change) => deleteKey(change, keyId)).catch(refuseUnavailable);
  }

  /** Removes keys that ended long ago, and old events, in batches, each a transaction of its own. */
  async prune(
    options: PruneOptions = {},
    acting: Omit<Acting, 'userId' | 'apiKey'> = {},
  ): Promise<PruneReport> {
    const { olderThanDays = DEFAULT_PRUNE_DAYS, eventsOlderThanDays = DEFAULT_EVENT_PRUNE_DAYS } = options;
    checkDays('olderThanDays', olderThanDays);
    checkDays('eventsOlderThanDays', eventsOlderThanDays);
    const report = options.onProgress ?? (() => {});
    const keys = await pruneKeys(this.changeTrail, olderThanDays, acting, (removed) =>
      report({ keys: removed, events: 0 }),
    );
    const events = await pruneEvents(this.trail, eventsOlderThanDays, (removed) =>
      report({ keys, events: removed }),
    );
    return { keys, events };
  }

  /**
   * Takes over keys of another system by their digests, in batches, each all or nothing. Reads the lines as it goes, so that
   * any number of them fits into memory.
   * @param lines `ImportedApiKey` each; anything else is reported by its number
   * @throws ApiKeyInputError where the option `pepper` refuses keys that are stored without one, as these are
   */
  async import(
    lines: Iterable<unknown> | AsyncIterable<unknown>,
    options: ImportOptions = {},
    acting: Omit<Acting, 'userId' | 'apiKey'> = {},
  ): Promise<ImportReport> {
    if (this.options.pepper?.refusesUnpeppered)
      throw new ApiKeyInputError([
        'imported digests are without a pepper, and would not work: set pepper.unpeppered to "adopt" until each was used once',
      ]);
    const { database, changeTrail: changes, catalogue } = this;
    return importInBatches(lines, options, { database, changes, catalogue, acting });
  }

  /**
   * The trail of a key, newest first, also after the key is gone; null where there is neither.
   * @throws ApiKeyInputError where limit or cursor cannot be used
   */
  async events(
    id: string,
    input: Pick<ListApiKeysInput, 'limit' | 'cursor'> = {},
    acting: Acting = {},
  ): Promise<Page<RecordedApiKeyEvent> | null> {
    checkPage(input);
    const [keyId, by] = [keyIdOf(id), await this.asStored(acting)];
    const owner = ownerOf(by);
    if (keyId === null) return null;
    const { limit = DEFAULT_LIMIT, cursor = null } = input;
    const found = await this.trail
      .of(keyId, { owner, before: cursor, limit: limit + 1 })
      .catch(refuseUnavailable);
    if (found.length === 0 && cursor === null && !(await this.get(keyId, by))) return null;
    return pageOf(found, limit);
  }

  /** @throws ApiKeyInputError with the problem if it is no owner */
  private async storedOwner(userId: unknown, problem: string): Promise<string> {
    return storedOwner(this.database, ownerIdOf(userId, problem)).catch(refuseUnavailable);
  }

  private asStored(acting: Acting): Promise<Acting> {
    return actingAsStored(this.database, acting);
  }

  private get mint(): MintOptions {
    const { format, prefix } = this.options;
    return { format, prefix, digests: this.digests };
  }
}

function pageOf<Item extends { readonly id: string }>(found: readonly Item[], limit: number): Page<Item> {
  const items = found.slice(0, limit);
  return { items, nextCursor: found.length > limit ? (items.at(-1) as Item).id : null };
}
