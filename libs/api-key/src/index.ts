export type { Acting } from './acting';
export {
  ApiKeyAuthenticator,
  type AuthenticatedCaller,
  type PresentingCaller,
} from './api-key.authenticator';
export { ApiKey } from './api-key.entity';
export {
  ApiKeyAuthorityError,
  ApiKeyConflictError,
  ApiKeyInputError,
  ApiKeyRefusal,
  type RefusalCode,
  type RefusedReason,
} from './api-key.errors';
export type {
  Actor,
  ApiKeyEvent,
  ApiKeyEventMap,
  ApiKeyEventSink,
  ApiKeyEventType,
  RecordedApiKeyEvent,
} from './api-key.event';
export { ApiKeyGuard } from './api-key.guard';
export { type ApiKeyHealth, ApiKeyHealthIndicator } from './api-key.health';
export type {
  ApiKeyFields,
  ApiKeyState,
  CreateApiKeyInput,
  ListApiKeysInput,
  UpdateApiKeyInput,
} from './api-key.input';
export { type ApiKeyAsyncOptions, ApiKeyModule } from './api-key.module';
export type {
  ApiKeyOptions,
  ApiKeyRootOptions,
  AuditOptions,
  EventTarget,
} from './api-key.options';
export {
  type ApiKeyPage,
  ApiKeyService,
  type Page,
  type PruneOptions,
  type PruneReport,
  type RevokeAllInput,
  type RevokeOptions,
  type RotateOptions,
  type VerifyResult,
} from './api-key.service';
export { ApiKeyAuth } from './api-key-auth.decorator';
export { ApiKeyRefusalFilter } from './api-key-refusal.filter';
export { ApiKeyThrottlerGuard } from './api-key-throttler.guard';
export {
  type Quota,
  type QuotaPeriod,
  quotaOf,
  type RateLimit,
  rateLimitOf,
  type SharedLimit,
} from './authority';
export { apiKeyPattern, type KeyFormat } from './credential/format';
export { type PinoRedaction, pinoRedaction } from './credential/pino-redaction';
export { redactApiKeys } from './credential/redact';
export type { Revocation } from './lifecycle/end-keys';
export type { ImportOptions, ImportReport } from './lifecycle/import-batches';
export type { ImportedApiKey, ImportProblem } from './lifecycle/import-keys';
export type { IssuedApiKey } from './lifecycle/new-key';
export { type ApiKeyMigrationOptions, apiKeyMigrations } from './migrations/create-api-keys.migration';
export { runMigrations } from './migrations/run-migrations';
export { adoptedFromRails } from './migrations/table-note';
export type { WatchUsersOptions } from './migrations/watch-users.migration';
export { documentApiKeys, optionalSwagger } from './open-api';
export type { PepperOptions, PepperSecret } from './pepper.options';
export { MemoryThrottlerStorage } from './rate-limit/memory-storage';
export { PostgresThrottlerStorage } from './rate-limit/postgres-storage';
export { type IoredisClient, type NodeRedisClient, RedisThrottlerStorage } from './rate-limit/redis-storage';
export { Cost, type RateLimitCost } from './rate-limit/route-limits';
export type { Hit, LimitPolicy } from './rate-limit/sliding-window';
export { ApiKeyThrottlerStorage, type Bucket, type Hits } from './rate-limit/storage';
export type { ApiKeyUsage, QuotaUsage, UsagePeriod } from './rate-limit/usage-report';
export type { FailedAttemptsOptions, RateLimitOptions, StorageFailurePolicy } from './rate-limit.options';
export { actingOf } from './request/acting-of';
export { CurrentApiKey, CurrentUser } from './request/current.decorators';
export * from './scope-catalogue';
export { AnyScope, Public, Scopes } from './scopes.decorator';
export { ScopesGuard } from './scopes.guard';
export type { InvalidKeyReason } from './verification/key-judge';
export type { VerificationStatus } from './verification/verification';
