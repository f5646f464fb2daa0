import { Injectable } from '@nestjs/common';
import { RequestTrail } from './audit/request-trail';
import { type InvalidKeyReason, isInvalid, KeyVerifier } from './authentication/key-verifier';
import { type BulkActing, BulkChanges, type PruneOptions, type PruneReport } from './keys/bulk-changes';
import type { Revocation } from './keys/end-keys';
import type { ImportOptions, ImportReport } from './keys/import-batches';
import type { CreateApiKeyInput, ListApiKeysInput, NewApiKeyFields, UpdateApiKeyInput } from './keys/input';
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

export type VerifyResult =
  | { readonly ok: true; readonly apiKey: ApiKey }
  | { readonly ok: false; readonly reason: InvalidKeyReason };

/**
 * Issues, verifies, changes and revokes keys. Argument `acting` names the owner or key on whose
 * behalf a call acts. If the database fails, a call throws ApiKeyRefusal `KEY_STORE_UNAVAILABLE`.
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

  /** Number of request events that were dropped since the start, because the queue was full. */
  get droppedEvents(): number {
    return this.requests.dropped;
  }

  /** State of the key cache and its lease in this instance, for health checks and metrics. */
  get verificationStatus(): VerificationStatus {
    return this.verification.status;
  }

  /**
   * Issues a key. Only the result contains the raw key. If `acting.apiKey` is given, an omitted
   * expiry, limit or address list is copied from that key.
   * @throws ApiKeyInputError if a field is invalid, or the owner does not exist
   * @throws ApiKeyAuthorityError if the new key would have more rights than `acting.apiKey`
   * @throws ApiKeyPolicyError if option `policy` forbids the key, also from `update` and `rotate`
   * @example
   * const { key } = await keys.create({ userId: '42', name: 'CI', scopes: ['orders:read'] });
   */
  create(input: CreateApiKeyInput, acting: Acting = {}): Promise<IssuedApiKey> {
    return this.issuance.create(input, acting);
  }

  /** Checks the input of a new key without issuing it. @throws ApiKeyInputError if it is invalid */
  check(input: NewApiKeyFields): void {
    this.issuance.check(input);
  }

  /**
   * Verifies a raw key and records no use. A value that is not a string is `malformed`.
   * @example
   * const found = await keys.verify(text);
   * if (found.ok) console.log(found.apiKey.userId);
   */
  async verify(key: unknown): Promise<VerifyResult> {
    const found = this.verifier.recall(key) ?? (await this.verifier.verify(key, null));
    return isInvalid(found) ? { ok: false, reason: found.reason } : { ok: true, apiKey: found };
  }

  /** Verifies a raw key and records a use; null if the key is not valid now. */
  async authenticate(key: unknown): Promise<ApiKey | null> {
    const found = await this.verify(key);
    if (!found.ok) return null;
    this.noteUse(found.apiKey);
    return found.apiKey;
  }

  /** Records in memory that a verified key was used now, for `last_used_at` and `usage`. No I/O. */
  noteUse({ id }: ApiKey): void {
    this.uses.note(id);
  }

  /**
   * Reports the usage of a key and the rest of its quota; null if the key does not exist. Counts
   * that other instances have not written yet are missing (`usage.intervalMs`).
   */
  async usage(id: string, acting: Acting = {}): Promise<ApiKeyUsage | null> {
    const apiKey = await this.get(id, acting);
    return apiKey && this.usages.of(apiKey);
  }

  /**
   * Evicts the cached user of an owner: here at once, in other instances within milliseconds. If
   * their notification fails, their cache entry expires after `cache.userCacheMs`. For changes
   * outside of a users table that `watchUsers` of `apiKeyMigrations` watches.
   * @throws ApiKeyInputError if `userId` cannot be an owner
   */
  evictOwner(userId: string): Promise<void> {
    return this.owners.evict(userId);
  }

  /** Returns a key by its id; null if the key does not exist, or the id is invalid. */
  get(id: string, acting: Acting = {}): Promise<ApiKey | null> {
    return this.listings.get(id, acting);
  }

  /** Lists keys, newest first. `userId` or `acting` selects one owner. @throws ApiKeyInputError */
  list(input: ListApiKeysInput = {}, acting: Acting = {}): Promise<ApiKeyPage> {
    return this.listings.list(input, acting);
  }

  /**
   * Changes the given fields of a key; null if the key does not exist.
   * @throws ApiKeyInputError if a field is invalid or cannot be set
   * @throws ApiKeyAuthorityError if the change would give more rights than `acting.apiKey` has
   * @throws ApiKeyConflictError if the key is revoked
   */
  update(id: string, changes: UpdateApiKeyInput, acting: Acting = {}): Promise<ApiKey | null> {
    return this.edits.update(id, changes, acting);
  }

  /**
   * Issues the successor of a key, with the same name, scopes, limits, addresses and metadata; null
   * if the key does not exist. The old key expires after the overlap at the latest.
   * @throws ApiKeyInputError if the overlap or the expiry is invalid
   * @throws ApiKeyAuthorityError if the successor would have more rights than `acting.apiKey`
   * @throws ApiKeyConflictError if the key was rotated (maybe just now), is revoked or has expired
   */
  rotate(id: string, options: RotateOptions = {}, acting: Acting = {}): Promise<IssuedApiKey | null> {
    return this.issuance.rotate(id, options, acting);
  }

  /**
   * Revokes a key for good. Also sets `expires_at`, because a Rails app on the same table reads
   * only that column. Revoking again changes nothing. If the trail cannot be written, the key is
   * still revoked, and the log has the event.
   * @returns the key, and the descendants that this call revoked; null if no key was found
   * @throws ApiKeyInputError if the reason is invalid
   * @throws ApiKeyRefusal `INVALID_API_KEY` if `acting.apiKey` is no longer valid
   * @example
   * await keys.revoke(id, { descendants: true, everywhere: true, reason: 'leaked' });
   */
  revoke(id: string, options: RevokeOptions = {}, acting: Acting = {}): Promise<Revocation | null> {
    return this.revocations.revoke(id, options, acting);
  }

  /**
   * Revokes all keys of an owner, also keys that are being created. Works without the trail, like
   * `revoke`. Keys that an import or another application inserts later stay valid.
   * @returns the keys that this call revoked
   * @throws ApiKeyInputError if `userId` is missing, or the reason is invalid
   * @throws ApiKeyRefusal in the same cases as `revoke`
   */
  revokeAll(input: RevokeAllInput, acting: Acting = {}): Promise<ApiKey[]> {
    return this.revocations.revokeAll(input, acting);
  }

  /** Deletes a key and so ends it at once; false if none exists. Events and descendants stay. */
  delete(id: string, acting: Acting = {}): Promise<boolean> {
    return this.edits.delete(id, acting);
  }

  /** Deletes keys that ended long ago, and old events, in batches of one transaction each. */
  prune(options: PruneOptions = {}, acting: BulkActing = {}): Promise<PruneReport> {
    return this.bulk.prune(options, acting);
  }

  /**
   * Imports keys of another system by their digests, in batches. A batch is imported completely or
   * not at all. Only one batch is in memory.
   * @param lines `ImportedApiKey` objects; any other line is reported with its number
   * @throws ApiKeyInputError if option `pepper` refuses imported keys, because they have no pepper
   */
  import(
    lines: Iterable<unknown> | AsyncIterable<unknown>,
    options: ImportOptions = {},
    acting: BulkActing = {},
  ): Promise<ImportReport> {
    return this.bulk.import(lines, options, acting);
  }

  /** Lists the events of a key, newest first; null if it is unknown. @throws ApiKeyInputError */
  events(id: string, input: EventsInput = {}, acting: Acting = {}): Promise<EventPage | null> {
    return this.listings.events(id, input, acting);
  }
}
