import { createSecretKey } from 'node:crypto';
import type { Peppers } from '../credential/digest';
import { type Check, isWhole, oneOf, rule, section, trueOrFalse } from './checks';

/** A pepper: 32 to 1,024 bytes. Text is read as UTF-8. */
export type PepperSecret = string | Uint8Array;

/**
 * Secrets that are stored outside the database. An attacker without them cannot use the table to
 * test a guessed key. If `unpeppered` is `refuse`, the attacker also cannot insert a key of their
 * own.
 */
export interface PepperOptions {
  /**
   * Newest first, at most 10. Keys are stored as HMAC-SHA-256 under the first secret. Keys under
   * another secret still work, and are stored under the first one when they are used.
   */
  secrets: readonly PepperSecret[];
  /**
   * The next secret, for a rolling deployment. Keys that other instances stored under it work here
   * and are not rewritten. Once each instance has it, move it to the front of `secrets`. Default:
   * none.
   */
  upcoming?: PepperSecret | null;
  /**
   * What happens to keys that were stored without a pepper. `adopt`: the keys work, and are stored
   * under the first secret when they are used. `refuse`: the keys do not work, so that nobody can
   * insert such a key into the table. Default `adopt`.
   */
  unpeppered?: 'adopt' | 'refuse';
  /**
   * Needed if a Rails app uses the same table: the boot stops unless this option is true. True
   * accepts that the Rails app can no longer check keys that are created or used here, because it
   * has no pepper. Default false.
   */
  lockOutRails?: boolean;
}

/**
 * The option `pepper` after defaults and checks. A log of a `KeyObject` does not show the secret.
 */
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
  'an object with a list { secrets }; secrets and upcoming together need at least one secret and no duplicates; ' +
    'unpeppered: "refuse" needs a secret in { secrets }',
);

export const checkPepper: Check = (value, name) => {
  if (value === null) return [];
  const problems = checkFields(value, name);
  return problems.length > 0 ? problems : checkTogether(value, name);
};

/** How keys are stored if there is no pepper. */
export const UNPEPPERED: Peppers = Object.freeze({
  known: Object.freeze<Peppers['known']>([null]),
  upcoming: null,
});

export function resolvePepper(options: PepperOptions | null): Pepper | null {
  if (options === null) return null;
  const { secrets, upcoming = null, unpeppered = 'adopt', lockOutRails = false } = options;
  const [newest = null, ...older] = secrets.map((secret) => createSecretKey(bytesOf(secret)));
  const unpepperedToo = newest !== null && unpeppered === 'adopt' ? [null] : [];
  return Object.freeze({
    known: Object.freeze<Peppers['known']>([newest, ...older, ...unpepperedToo]),
    upcoming: upcoming === null ? null : createSecretKey(bytesOf(upcoming)),
    refusesUnpeppered: unpeppered === 'refuse',
    lockOutRails,
  });
}

/** Whether fields that are valid one by one are valid together. */
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
