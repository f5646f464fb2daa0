import { EQUALS } from './own-names';

/*
 * A disabled key is expired for Rails: column `expires_at` has a time in the past, and column
 * `enabled_expires_at` the expiry that the key gets back. If something else, such as a Rails app,
 * changes `expires_at` meanwhile, that value counts.
 */

/** SQL of a time in whole seconds, so that no column rounds it up into the future. */
const wholeSecond = (time: string) => `pg_catalog.date_trunc('second', ${time})`;

/**
 * SQL of the value that `expires_at` has while a key is disabled.
 * @param expiry the expiry of the key; `infinity`: none
 * @param disabledAt the time at which the key was disabled
 */
export const expiryWhileDisabled = (expiry: string, disabledAt: string) =>
  `LEAST(${expiry}, ${wholeSecond(disabledAt)})`;

/**
 * Whether a disabled key gets back what `enabled_expires_at` has. NULL in that column means that
 * nothing was saved, and never that the key has no expiry.
 */
export const IS_EXPIRY_SAVED = `(revoked_at IS NULL AND disabled_at IS NOT NULL AND enabled_expires_at IS NOT NULL
  AND expires_at ${EQUALS} ${expiryWhileDisabled('enabled_expires_at', 'disabled_at')})`;

/** The expiry of a key. If the key is disabled: the expiry that it gets back. */
export const EXPIRY = `(CASE WHEN ${IS_EXPIRY_SAVED} THEN enabled_expires_at ELSE expires_at END)`;
