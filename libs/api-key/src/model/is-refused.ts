import {
  ApiKeyAuthorityError,
  ApiKeyConflictError,
  ApiKeyInputError,
  ApiKeyPolicyError,
  ApiKeyRefusal,
  ApiKeyTransactionError,
} from './api-key.errors';

const REFUSING = [
  ApiKeyRefusal,
  ApiKeyConflictError,
  ApiKeyAuthorityError,
  ApiKeyInputError,
  ApiKeyPolicyError,
  ApiKeyTransactionError,
];

/** Whether this library refused a call, so that nothing was changed. */
export function isRefused(error: unknown): boolean {
  return REFUSING.some((type) => error instanceof type);
}
