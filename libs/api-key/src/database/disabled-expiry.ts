import { EQUALS } from './own-names';

/*
 * A disabled key is expired for Rails: column `expires_at` has a time in the past, and column
 * `enabled_expires_at` the expiry that the key gets back. If something else, such as a Rails app,
 * changes `expires_at` meanwhile, that value counts.
 */

/** SQL of a time in whole seconds, so that no column rounds the time up into the future. */
const wholeSecond = (time: string) => `pg_catalog.date_trunc('second', ${time})`;

/**
 * SQL of the value of `expires_at` while a key is disabled.
 * @param expiry SQL of the key's expiry, which is `infinity` if the key never expires
 * @param disabledAt SQL of the time at which the key was disabled
 */
export const expiryWhileDisabled = (expiry: string, disabledAt: string) =>
  `LEAST(${expiry}, ${wholeSecond(disabledAt)})`;

/**
 * SQL that checks whether a disabled key gets its expiry back from `enabled_expires_at`. NULL in
 * that column means that no expiry was saved, and never that the key has no expiry.
 */
export const IS_EXPIRY_SAVED = `(revoked_at IS NULL AND disabled_at IS NOT NULL AND enabled_expires_at IS NOT NULL
  AND expires_at ${EQUALS} ${expiryWhileDisabled('enabled_expires_at', 'disabled_at')})`;

/**
 * SQL of the expiry of a key. For a disabled key, this is the expiry after the key is enabled
 * again.
 */
export const EXPIRY = `(CASE WHEN ${IS_EXPIRY_SAVED} THEN enabled_expires_at ELSE expires_at END)`;
