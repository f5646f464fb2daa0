import { Injectable } from '@nestjs/common';
import { RequestTrail } from './audit/request-trail';
import { type ApiKeyInspection, KeyInspector } from './authentication/key-inspector';
import { RawKeys, type VerifyResult } from './authentication/raw-keys';
import { BulkChanges } from './keys/bulk-changes';
import { type DisableOptions, Disabling, type EnableOptions } from './keys/disabling';
import type { CreateApiKeyInput, ListApiKeysInput, NewApiKeyFields, UpdateApiKeyInput } from './keys/input';
import { Issuance, type RotateOptions } from './keys/issuance';
import { KeyEdits } from './keys/key-edits';
import { type ApiKeyPage, type EventPage, type EventsInput, KeyListings } from './keys/key-listings';
import { readTurn } from './keys/lanes';
import type { IssuedApiKey } from './keys/new-key';
import { OperatorCalls } from './keys/operator-calls';
import { OwnerEviction } from './keys/owner-eviction';
import {
  type Revocation,
  Revocations,
  type RevokeAllInput,
  type RevokeInTransactionOptions,
  type RevokeOptions,
} from './keys/revocation';
import { Verification } from './lookup/verification';
import type { Acting } from './model/acting';
import type { ApiKey } from './model/api-key.entity';
import type { InTransaction } from './model/in-transaction';
import { KeyUsage } from './usage/key-usage';
import type { ApiKeyUsage } from './usage/report';

/**
 * Issues, verifies, changes and revokes keys. Argument `acting` names the owner or key on whose
 * behalf a call acts. Calls throw ApiKeyInputError for an invalid argument, ApiKeyAuthorityError
 * for more rights than `acting.apiKey` has or another environment, ApiKeyPolicyError for what
 * option `policy` forbids, and ApiKeyRefusal: `INVALID_API_KEY` if that key is no longer valid,
 * `KEY_STORE_UNAVAILABLE` if the database fails. Argument `within` makes a call part of a
 * transaction of your own: see `InTransaction`.
 */
@Injectable()
export class ApiKeyService extends OperatorCalls {
  constructor(
    private readonly raw: RawKeys,
    private readonly inspector: KeyInspector,
    private readonly usages: KeyUsage,
    private readonly issuance: Issuance,
    private readonly edits: KeyEdits,
    private readonly listings: KeyListings,
    private readonly revocations: Revocations,
    private readonly disabling: Disabling,
    bulk: BulkChanges,
    owners: OwnerEviction,
    requests: RequestTrail,
    verification: Verification,
  ) {
    super(bulk, owners, requests, verification);
  }

  /**
   * Issues a key. Only the result contains the raw key. If `acting.apiKey` is given, an omitted
   * expiry, limit or address list is copied from that key.
   * @param within makes the call part of a transaction of your own. The key is unknown until the
   *   commit, and after a rollback.
   * @throws ApiKeyTransactionError if the call cannot be part of that transaction
   * @example
   * const { key } = await keys.create({ userId: '42', name: 'CI', scopes: ['orders:read'] });
   */
  create(input: CreateApiKeyInput, acting: Acting = {}, within?: InTransaction): Promise<IssuedApiKey> {
    return this.issuance.create(input, acting, within);
  }

  /** Checks the input of a new key. @throws ApiKeyInputError, ApiKeyPolicyError if it is refused */
  check(input: NewApiKeyFields): void {
    this.issuance.check(input);
  }

  /** Verifies a raw key and records no use. A value that is not a string is `malformed`. */
  verify(key: unknown): Promise<VerifyResult> {
    return this.raw.verify(key);
  }

  /** Finds out whose a raw key is, why it is refused, and where it passes. Only for operators. */
  inspect(key: unknown): Promise<ApiKeyInspection> {
    return this.inspector.inspect(key);
  }

  /** Verifies a raw key and records a use. Returns null if the key is not valid now. */
  authenticate(key: unknown): Promise<ApiKey | null> {
    return this.raw.authenticate(key);
  }

  /** Records in memory that a verified key was used now, for `last_used_at` and `usage`. No I/O. */
  noteUse(apiKey: ApiKey): void {
    this.raw.noteUse(apiKey);
  }

  /**
   * Reports the usage of a key and the rest of its quota; null if the key does not exist. Lacks the
   * counts that other instances have not written yet (`usage.intervalMs`).
   */
  async usage(id: string, acting: Acting = {}): Promise<ApiKeyUsage | null> {
    const apiKey = await this.get(id, acting);
    return apiKey && this.usages.of(apiKey, readTurn(acting));
  }

  /** Returns a key by its id; null if the key does not exist, or the id is invalid. */
  get(id: string, acting: Acting = {}): Promise<ApiKey | null> {
    return this.listings.get(id, acting);
  }

  /** Lists keys, newest first. `userId` or `acting` selects one owner. */
  list(input: ListApiKeysInput = {}, acting: Acting = {}): Promise<ApiKeyPage> {
    return this.listings.list(input, acting);
  }

  /**
   * Changes given fields of a key; null if none exists; ApiKeyConflictError if it is revoked.
   * @param within as in `create`; the old fields apply until the commit
   */
  update(
    id: string,
    changes: UpdateApiKeyInput,
    acting: Acting = {},
    within?: InTransaction,
  ): Promise<ApiKey | null> {
    return this.edits.update(id, changes, acting, within);
  }

  /**
   * Issues the successor of a key, with the same name, scopes, limits, addresses and metadata. The
   * old key expires after the overlap at the latest. Null if the key does not exist.
   * @param within as in `create`
   * @throws ApiKeyConflictError if the key is rotated already, revoked, disabled or expired
   */
  rotate(
    id: string,
    options: RotateOptions = {},
    acting: Acting = {},
    within?: InTransaction,
  ): Promise<IssuedApiKey | null> {
    return this.issuance.rotate(id, options, acting, within);
  }

  /**
   * Revokes a key for good, and sets `expires_at` for a Rails app on the same table. Revoking again
   * changes nothing. If the trail cannot be written, the key is revoked, and the log has the event.
   * @param within as in `create`. The key is accepted until the commit. The call fails if the trail
   *   cannot be written, and cannot wait `everywhere`.
   * @returns the key, and the descendants that this call revoked; null if no key was found
   * @example
   * await keys.revoke(id, { descendants: true, everywhere: true, reason: 'leaked' });
   */
  revoke(id: string, options?: RevokeOptions, acting?: Acting): Promise<Revocation | null>;
  revoke(
    id: string,
    options: RevokeInTransactionOptions,
    acting: Acting,
    within?: InTransaction,
  ): Promise<Revocation | null>;
  revoke(id: string, options: RevokeOptions = {}, acting: Acting = {}, within?: InTransaction) {
    return this.revocations.revoke(id, options, acting, within);
  }

  /**
   * Revokes all keys of an owner, also keys that are being created. Works without the trail, like
   * `revoke`. Keys that an import or another application inserts later stay valid.
   * @returns the keys that this call revoked
   */
  revokeAll(input: RevokeAllInput, acting: Acting = {}): Promise<ApiKey[]> {
    return this.revocations.revokeAll(input, acting);
  }

  /**
   * Disables a key until it is enabled; null if no key was found. For Rails the key is expired.
   * No key can enable what people or the app disabled. ApiKeyConflictError if the key is revoked.
   */
  disable(id: string, options: DisableOptions = {}, acting: Acting = {}): Promise<ApiKey | null> {
    return this.disabling.disable(id, options, acting);
  }

  /**
   * Enables a disabled key and gives back its expiry; null if no key was found. An acting key can
   * undo only what it, a key that it made, or a key that it replaced did.
   * @throws ApiKeyConflictError if the key is revoked; for an acting key also: expired or rotated
   */
  enable(id: string, options: EnableOptions = {}, acting: Acting = {}): Promise<ApiKey | null> {
    return this.disabling.enable(id, options, acting);
  }

  /** Deletes a key and so ends it at once; false if none exists. Events and descendants stay. */
  delete(id: string, acting: Acting = {}): Promise<boolean> {
    return this.edits.delete(id, acting);
  }

  /** Lists the events of a key, newest first; null if the key is unknown. */
  events(id: string, input: EventsInput = {}, acting: Acting = {}): Promise<EventPage | null> {
    return this.listings.events(id, input, acting);
  }
}
