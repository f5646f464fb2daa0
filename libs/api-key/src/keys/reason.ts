import { ApiKeyInputError } from '../model/api-key.errors';

/** Option of a change that records why it was made. */
export interface WithReason {
  /** The reason, for the trail: 1 to 255 characters, without control characters. */
  reason?: string;
}

/**
 * Returns the reason of a change; null if no reason is given.
 * @throws ApiKeyInputError if the reason is invalid
 */
export function reasonOf({ reason }: WithReason): string | null {
  if (reason === undefined) return null;
  if (typeof reason === 'string' && /^\P{Cc}{1,255}$/u.test(reason)) return reason;
  throw new ApiKeyInputError(['reason must have 1 to 255 characters and no control characters']);
}
