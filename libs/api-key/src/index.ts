export { ApiKey } from './api-key.entity';
export { ApiKeyInputError, ApiKeyRefusal, type RefusalCode } from './api-key.errors';
export { ApiKeyGuard } from './api-key.guard';
export type { CreateApiKeyInput, ListApiKeysInput } from './api-key.input';
export { type ApiKeyAsyncOptions, ApiKeyModule } from './api-key.module';
export type { ApiKeyOptions, ApiKeyRootOptions } from './api-key.options';
export {
  type ApiKeyPage,
  ApiKeyService,
  type InvalidKeyReason,
  type IssuedApiKey,
  type VerifyResult,
} from './api-key.service';
export { ApiKeyAuth } from './api-key-auth.decorator';
export { apiKeyPattern, type KeyFormat } from './credential/format';
export { type ApiKeyMigrationOptions, apiKeyMigrations } from './migrations/create-api-keys.migration';
export { adoptedFromRails } from './migrations/table-note';
export { runMigrations } from './migrations/run-migrations';
export { CurrentApiKey, CurrentUser } from './request/current.decorators';
export * from './scope-catalogue';
export { AnyScope, Public, Scopes } from './scopes.decorator';
export { ScopesGuard } from './scopes.guard';
