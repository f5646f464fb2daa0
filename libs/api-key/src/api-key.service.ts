import { Injectable } from '@nestjs/common';
import { RequestTrail } from './audit/request-trail';
import { type InvalidKeyReason, isInvalid, KeyVerifier } from './authentication/key-verifier';
import { type BulkActing, BulkChanges, type PruneOptions, type PruneReport } from './keys/bulk-changes';
import type { Revocation } from './keys/end-keys';
import type { ImportOptions, ImportReport } from './keys/import-batches';
import type { ApiKeyFields, CreateApiKeyInput, ListApiKeysInput, UpdateApiKeyInput } from './keys/input';
import { Issuance, type RotateOptions } from './keys/issuance';
import { KeyEdits } from './keys/key-edits';
import { type ApiKeyPage, type EventPage, type EventsInput, KeyListings } from './keys/key-listings';
import type { IssuedApiKey } from './keys/new-key';
import { OwnerEviction } from './keys/owner-eviction';
import { Revocations, type RevokeAllInput, type RevokeOptions } from './keys/revocation';
import { Verification, type VerificationStatus } from './lookup/verification';
import type { Acting } from './model/acting';
import type { ApiKey } from './model/api-key.entity';
import { KeyUsage } from './usage/key-usage';
import { KeyUses } from './usage/key-uses';
import type { ApiKeyUsage } from './usage/report';

/** What `verify` found. */
export type VerifyResult =
  | { readonly ok: true; readonly apiKey: ApiKey }
  | { readonly ok: false; readonly reason: InvalidKeyReason };

/**
 * Issues, checks, changes and ends keys. Every call may name on whose behalf it acts. If the
 * database fails, each throws ApiKeyRefusal `KEY_STORE_UNAVAILABLE`.
 */
@Injectable()
export class ApiKeyService {
  constructor(
    private readonly verifier: KeyVerifier,
    private readonly verification: Verification,
    private readonly uses: KeyUses,
    private readonly usages: KeyUsage,
    private readonly requests: RequestTrail,
    private readonly issuance: Issuance,
    private readonly edits: KeyEdits,
    private readonly listings: KeyListings,
    private readonly revocations: Revocations,
    private readonly bulk: BulkChanges,
    private readonly owners: OwnerEviction,
  ) {}

  /** How many events of requests were dropped since the start: they came faster than they are written. */
  get droppedEvents(): number {
    return this.requests.dropped;
  }

  /** How look-ups do in this instance, for health checks and metrics. */
  get verificationStatus(): VerificationStatus {
    return this.verification.status;
  }

  /**
   * Issues a key. The raw key is in the answer and nowhere else. A key that acts hands on its own
   * bounds if none are given.
   * @throws ApiKeyInputError if a field does not fit, or the owner does not exist
   * @throws ApiKeyAuthorityError if it would give more than the key that acts has
   * @example
   * const { key, apiKey } = await keys.create({ userId: '42', name: 'CI', scopes: ['orders:read'] });
   */
  create(input: CreateApiKeyInput, acting: Acting = {}): Promise<IssuedApiKey> {
    return this.issuance.create(input, acting);
  }

  /** Checks the input of a new key, without issuing it. @throws ApiKeyInputError if a field does not fit */
  check(input: ApiKeyFields): void {
    this.issuance.check(input);
  }

  /**
   * Checks a raw key, without noting a use. Anything that is not text is malformed.
   * @example
   * const found = await keys.verify(text);
   * if (found.ok) console.log(found.apiKey.userId);
   */
  async verify(key: unknown): Promise<VerifyResult> {
    const found = this.verifier.recall(key) ?? (await this.verifier.verify(key, null));
    return isInvalid(found) ? { ok: false, reason: found.reason } : { ok: true, apiKey: found };
  }

  /** The row of a raw key that is valid now, its use noted, or null: blank, unknown, expired, revoked. */
  async authenticate(key: unknown): Promise<ApiKey | null> {
    const found = await this.verify(key);
    if (!found.ok) return null;
    this.noteUse(found.apiKey);
    return found.apiKey;
  }

  /** Notes that a verified key was used now, for `last_used_at` and its usage. No I/O. */
  noteUse({ id }: ApiKey): void {
    this.uses.note(id);
  }

  /**
   * How much a key is used, and what is left of its quota; null if there is no such key. What other
   * instances have not written yet (`usage.intervalMs`) is missing.
   */
  async usage(id: string, acting: Acting = {}): Promise<ApiKeyUsage | null> {
    const apiKey = await this.get(id, acting);
    return apiKey && this.usages.of(apiKey);
  }

  /**
   * Has `loadUser` called again for an owner: in this instance from now on, in the others once they
   * hear of it, within milliseconds. If they cannot be told, they call it after `cache.userCacheMs`.
   * For changes outside of a users table that is watched (`watchUsers` of `apiKeyMigrations`).
   * @throws ApiKeyInputError if it is no owner
   */
  evictOwner(userId: string): Promise<void> {
    return this.owners.evict(userId);
  }

  /** A key by its id, or null: an id that cannot be one is that of no key. */
  get(id: string, acting: Acting = {}): Promise<ApiKey | null> {
    return this.listings.get(id, acting);
  }

  /** Keys, newest first; of one owner if `userId` is given, or someone acts. @throws ApiKeyInputError */
  list(input: ListApiKeysInput = {}, acting: Acting = {}): Promise<ApiKeyPage> {
    return this.listings.list(input, acting);
  }

  /**
   * Changes the given fields and no others; null if there is no such key.
   * @throws ApiKeyInputError if a field does not fit or cannot be set
   * @throws ApiKeyAuthorityError if it would give more than the key that acts has
   * @throws ApiKeyConflictError if the key is revoked
   */
  update(id: string, changes: UpdateApiKeyInput, acting: Acting = {}): Promise<ApiKey | null> {
    return this.edits.update(id, changes, acting);
  }

  /**
   * Issues the successor of a key, with the same name, scopes, limits, addresses and metadata, and ends
   * the old one after the overlap; null if there is no such key. Of two rotations at once, one wins.
   * @throws ApiKeyInputError if the overlap or the expiry does not fit
   * @throws ApiKeyAuthorityError if the successor would have more than the key that acts
   * @throws ApiKeyConflictError if the key was rotated already, is revoked or has expired
   */
  rotate(id: string, options: RotateOptions = {}, acting: Acting = {}): Promise<IssuedApiKey | null> {
    return this.issuance.rotate(id, options, acting);
  }

  /**
   * Ends a key for good. It is also expired from now on, because a Rails app on the same table knows
   * only that. Revoking again changes nothing. It is done even if the trail cannot be written: the
   * log has the event then.
   * @returns the key and what it made; null if there is no such key, nor any that it made
   * @throws ApiKeyInputError if the reason does not fit
   * @throws ApiKeyRefusal `INVALID_API_KEY` if the key that acts has ended meanwhile
   * @example
   * await keys.revoke(id, { descendants: true, everywhere: true, reason: 'leaked' });
   */
  revoke(id: string, options: RevokeOptions = {}, acting: Acting = {}): Promise<Revocation | null> {
    return this.revocations.revoke(id, options, acting);
  }

  /**
   * Ends all keys of an owner, also those that are being made meanwhile; also if the trail cannot be
   * written, as `revoke`. Keys that another application or an import inserts later are not ended.
   * @returns the keys that this call ended
   * @throws ApiKeyInputError if no owner is named, or the reason does not fit
   * @throws ApiKeyRefusal as `revoke`
   */
  revokeAll(input: RevokeAllInput, acting: Acting = {}): Promise<ApiKey[]> {
    return this.revocations.revokeAll(input, acting);
  }

  /** Removes a key, which ends it at once; false if there is none. Its trail and what it made stay. */
  delete(id: string, acting: Acting = {}): Promise<boolean> {
    return this.edits.delete(id, acting);
  }

  /** Removes keys that ended long ago, and old events, in batches, each a transaction of its own. */
  prune(options: PruneOptions = {}, acting: BulkActing = {}): Promise<PruneReport> {
    return this.bulk.prune(options, acting);
  }

  /**
   * Takes over keys of another system by their digests, in batches, each all or nothing. Any number
   * of lines fits into memory.
   * @param lines `ImportedApiKey` each; anything else is reported by its number
   * @throws ApiKeyInputError if option `pepper` refuses keys that are stored without one, as these are
   */
  import(
    lines: Iterable<unknown> | AsyncIterable<unknown>,
    options: ImportOptions = {},
    acting: BulkActing = {},
  ): Promise<ImportReport> {
    return this.bulk.import(lines, options, acting);
  }

  /** The trail of a key, newest first, also after its end; null if there is none. @throws ApiKeyInputError */
  events(id: string, input: EventsInput = {}, acting: Acting = {}): Promise<EventPage | null> {
    return this.listings.events(id, input, acting);
  }
}
