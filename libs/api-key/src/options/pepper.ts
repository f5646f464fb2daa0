import { createSecretKey, type KeyObject } from 'node:crypto';
import type { Peppers } from '../credential/digest';
import { type Check, isWhole, oneOf, rule, section, trueOrFalse } from './checks';

/** A pepper: 32 to 1,024 bytes. Text is read as UTF-8. */
export type PepperSecret = string | Uint8Array;

/**
 * Secrets that are kept outside of the database. Without them, its table neither tests a guessed key
 * nor takes a key of an attacker's own.
 */
export interface PepperOptions {
  /**
   * Newest first, up to 10. Keys are stored as HMAC-SHA-256 under the first. Keys under another one
   * still work, and are rewritten when they are used.
   */
  secrets: readonly PepperSecret[];
  /**
   * The next secret, for a rolling deployment: keys that other instances store under it work here
   * and are not rewritten. Once each instance has it, move it to the front of `secrets`.
   * Default: none.
   */
  upcoming?: PepperSecret | null;
  /**
   * What happens to keys that are stored without a pepper, from before there was one. `adopt`: they
   * work, and are rewritten when they are used. `refuse`: they no longer work, so that nobody can
   * write one into the table. Default `adopt`.
   */
  unpeppered?: 'adopt' | 'refuse';
  /**
   * For a table that a Rails app shares, whose boot stops without it: true accepts that the Rails app
   * can no longer check keys made or used here, because it knows no pepper. Default false.
   */
  lockOutRails?: boolean;
}

/** The option `pepper` after defaults and checks. A `KeyObject` shows its secret in no log. */
export interface Pepper extends Peppers {
  readonly refusesUnpeppered: boolean;
  readonly lockOutRails: boolean;
}

const MIN_BYTES = 32;
const MAX_BYTES = 1_024;
const MAX_SECRETS = 10;

const secretWords = `a text or Buffer of ${MIN_BYTES} to ${MAX_BYTES} bytes`;

const checkFields = section<PepperOptions>({
  secrets: rule(
    (value) => Array.isArray(value) && value.length <= MAX_SECRETS && Array.from(value).every(isSecret),
    `a list of at most ${MAX_SECRETS} secrets, newest first, each ${secretWords}`,
  ),
  upcoming: rule((value) => value === null || isSecret(value), `${secretWords}, or null`),
  unpeppered: oneOf('adopt', 'refuse'),
  lockOutRails: trueOrFalse,
});

const checkTogether = rule(
  (value) => isConsistent(value as PepperOptions),
  'an object with a list { secrets } and in it, or in { upcoming }, one secret at least and none twice; ' +
    'unpeppered: "refuse" needs one in { secrets }',
);

export const checkPepper: Check = (value, name) => {
  if (value === null) return [];
  const problems = checkFields(value, name);
  return problems.length > 0 ? problems : checkTogether(value, name);
};

/** What keys are stored under if there is no pepper. */
export const UNPEPPERED: Peppers = Object.freeze({ known: Object.freeze([null]), upcoming: null });

export function resolvePepper(options: PepperOptions | null): Pepper | null {
  if (options === null) return null;
  const { secrets, upcoming = null, unpeppered = 'adopt', lockOutRails = false } = options;
  const known: (KeyObject | null)[] = secrets.map((secret) => createSecretKey(bytesOf(secret)));
  if (unpeppered === 'adopt') known.push(null);
  return Object.freeze({
    known: Object.freeze(known),
    upcoming: upcoming === null ? null : createSecretKey(bytesOf(upcoming)),
    refusesUnpeppered: unpeppered === 'refuse',
    lockOutRails,
  });
}

/** Whether fields that fit alone make sense together. */
function isConsistent({ secrets, upcoming, unpeppered }: Partial<PepperOptions>): boolean {
  if (!secrets || (secrets.length === 0 && unpeppered === 'refuse')) return false;
  const all = [...secrets, ...(upcoming == null ? [] : [upcoming])].map((secret) =>
    bytesOf(secret).toString('hex'),
  );
  return all.length > 0 && new Set(all).size === all.length;
}

function isSecret(value: unknown): value is PepperSecret {
  if (typeof value !== 'string' && !(value instanceof Uint8Array)) return false;
  return isWhole(bytesOf(value).length, MIN_BYTES, MAX_BYTES);
}

function bytesOf(secret: PepperSecret): Buffer {
  return Buffer.from(secret as string);
}
