export { ApiKeyGuard } from './api-key.guard';
export { ApiKeyModule } from './api-key.module';
export { ApiKeyService } from './api-key.service';
export { ApiKeyAuth } from './api-key-auth.decorator';
export type { DroppedEvents } from './audit/request-trail';
export {
  ApiKeyAuthenticator,
  type AuthenticatedCaller,
  type PresentingCaller,
} from './authentication/api-key.authenticator';
export { type ApiKeyHealth, ApiKeyHealthIndicator } from './authentication/health-indicator';
export type { ApiKeyInspection, RouteInspection } from './authentication/key-inspector';
export type { InvalidKeyReason } from './authentication/key-verifier';
export type { VerifyResult } from './authentication/raw-keys';
export { apiKeyPattern, type KeyFormat } from './credential/format';
export { type PinoRedaction, pinoRedaction } from './credential/pino-redaction';
export { redactApiKeys } from './credential/redact';
export { API_KEY_DATA_SOURCE } from './database/data-source';
export type { PruneOptions, PruneReport } from './keys/bulk-changes';
export { API_KEY_DEFAULTS } from './keys/defaults';
export type { DisableOptions, EnableOptions } from './keys/disabling';
export type { ImportOptions, ImportReport } from './keys/import-batches';
export type { ImportedApiKey, ImportProblem } from './keys/import-keys';
export type {
  ApiKeyFields,
  CreateApiKeyInput,
  ListApiKeysInput,
  NewApiKeyFields,
  UpdateApiKeyInput,
} from './keys/input';
export type { RotateOptions } from './keys/issuance';
export type { ApiKeyPage, Page } from './keys/key-listings';
export type { IssuedApiKey } from './keys/new-key';
export type { RenameScopeOptions, RenameScopeReport } from './keys/rename-scope';
export type {
  Revocation,
  RevokeAllInput,
  RevokeInTransactionOptions,
  RevokeOptions,
} from './keys/revocation';
export type { VerificationStatus } from './lookup/verification';
export { apiKeyMigrations } from './migrations/create-api-keys.migration';
export type { ApiKeyMigrationOptions } from './migrations/migration-options';
export { runMigrations } from './migrations/run-migrations';
export { adoptedFromRails } from './migrations/table-note';
export type { WatchUsersOptions } from './migrations/watch-users.migration';
export { type Acting, copyOfActing } from './model/acting';
export { ApiKey } from './model/api-key.entity';
export { type ApiKeyEntityOptions, apiKeyEntity } from './model/api-key.entity-schema';
export {
  ApiKeyAuthorityError,
  ApiKeyConflictError,
  ApiKeyInputError,
  ApiKeyPolicyError,
  ApiKeyRefusal,
  ApiKeyTransactionError,
  type PolicyRule,
  type RefusalCode,
  type RefusedReason,
} from './model/api-key.errors';
export type {
  Actor,
  ApiKeyEvent,
  ApiKeyEventMap,
  ApiKeyEventSink,
  ApiKeyEventType,
  RecordedApiKeyEvent,
} from './model/api-key.event';
export { API_KEY_STATES, type ApiKeyState } from './model/api-key-state';
export { quotaOf, rateLimitOf } from './model/authority';
export { type ApiKeyDescription, describeKey } from './model/describe-key';
export type { InTransaction, TransactionManager } from './model/in-transaction';
export type { Quota, QuotaPeriod, RateLimit, SharedLimit } from './model/limits';
export { printable, printableLines } from './model/printable';
export { requirePackages } from './model/required-packages';
export * from './model/scope-catalogue';
export type { ApiKeyOptions, ApiKeyRootOptions } from './options/api-key.options';
export type { ApiKeyAsyncOptions, ApiKeyOptionsFactory } from './options/async-options';
export type { AuditOptions, EventTarget } from './options/audit';
export type { CacheOptions } from './options/cache';
export type { FailedAttemptsOptions } from './options/failed-attempts';
export type { HttpsOptions } from './options/https';
export type { PepperOptions, PepperSecret } from './options/pepper';
export type { PolicyOptions } from './options/policy';
export type { AcceptedPrefixes, KeyPrefix } from './options/prefixes';
export type { RateLimitOptions, StorageFailurePolicy } from './options/rate-limit';
export type { UsageOptions } from './options/usage';
export { ApiKeyThrottlerGuard } from './rate-limit/api-key-throttler.guard';
export { Cost, type RateLimitCost } from './rate-limit/route-limits';
export { MemoryThrottlerStorage } from './rate-limit/storages/memory-storage';
export { PostgresThrottlerStorage } from './rate-limit/storages/postgres-storage';
export {
  type IoredisClient,
  type NodeRedisClient,
  RedisThrottlerStorage,
} from './rate-limit/storages/redis-storage';
export type { Hit, LimitPolicy } from './rate-limit/storages/sliding-window';
export { ApiKeyThrottlerStorage, type Bucket, type Hits } from './rate-limit/storages/storage';
export { Environments } from './routes/environments.decorator';
export { documentApiKeys, optionalSwagger } from './routes/open-api';
export { AnyScope, Public, Scopes } from './routes/scopes.decorator';
export { ScopesGuard } from './routes/scopes.guard';
export { actingOf } from './transport/acting-of';
export { CurrentApiKey, CurrentUser } from './transport/current.decorators';
export { ApiKeyRefusalFilter } from './transport/refusal.filter';
export type { ApiKeyUsage, QuotaUsage, UsagePeriod } from './usage/report';
