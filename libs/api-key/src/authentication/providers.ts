import type { Provider } from '@nestjs/common';
import { SecureTransport } from '../transport/secure-transport';
import { ApiKeyAuthenticator } from './api-key.authenticator';
import { DigestWriter } from './digest-writer';
import { FailedAttempts } from './failed-attempts';
import { ApiKeyHealthIndicator } from './health-indicator';
import { KeyInspector } from './key-inspector';
import { KeyVerifier } from './key-verifier';
import { OwnerLoader } from './owner-loader';
import { PlaintextKeys } from './plaintext-keys';
import { PresentedKeys } from './presented-keys';
import { RawKeys } from './raw-keys';
import { RefusalDelay } from './refusal-delay';

export const AUTHENTICATION_PROVIDERS: readonly Provider[] = [
  ApiKeyAuthenticator,
  ApiKeyHealthIndicator,
  KeyInspector,
  KeyVerifier,
  RawKeys,
  RefusalDelay,
  PlaintextKeys,
  PresentedKeys,
  SecureTransport,
  DigestWriter,
  OwnerLoader,
  FailedAttempts,
];
