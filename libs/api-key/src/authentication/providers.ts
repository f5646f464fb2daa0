import type { Provider } from '@nestjs/common';
import { Database } from '../database/database';
import { Verification } from '../lookup/verification';
import { API_KEY_OPTIONS, type ResolvedApiKeyOptions } from '../options/api-key.options';
import { SecureTransport } from '../transport/secure-transport';
import { ApiKeyAuthenticator } from './api-key.authenticator';
import { DigestWriter } from './digest-writer';
import { FailedAttempts } from './failed-attempts';
import { ApiKeyHealthIndicator } from './health-indicator';
import { KeyVerifier } from './key-verifier';
import { OwnerLoader } from './owner-loader';
import { PlaintextKeys } from './plaintext-keys';
import { RefusalDelay } from './refusal-delay';

export const AUTHENTICATION_PROVIDERS: readonly Provider[] = [
  ApiKeyAuthenticator,
  ApiKeyHealthIndicator,
  KeyVerifier,
  RefusalDelay,
  PlaintextKeys,
  {
    provide: SecureTransport,
    inject: [API_KEY_OPTIONS],
    useFactory: ({ https }: ResolvedApiKeyOptions) => new SecureTransport(https),
  },
  {
    provide: DigestWriter,
    inject: [Database],
    useFactory: (database: Database) => new DigestWriter(database),
  },
  {
    provide: OwnerLoader,
    inject: [API_KEY_OPTIONS, Verification],
    useFactory: ({ loadUser, cache }: ResolvedApiKeyOptions, { owners }: Verification) =>
      new OwnerLoader({ loadUser, maxLookUps: cache.maxLookUps }, owners),
  },
  {
    provide: FailedAttempts,
    inject: [API_KEY_OPTIONS],
    useFactory: ({ failedAttempts }: ResolvedApiKeyOptions) => new FailedAttempts(failedAttempts),
  },
];
