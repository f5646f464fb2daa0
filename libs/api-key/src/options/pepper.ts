import { createSecretKey, type KeyObject } from 'node:crypto';
import type { Peppers } from '../credential/digest';
import { type FieldChecks, fieldsFit, isWhole, must } from './checks';

/** A pepper: 32 to 1,024 bytes, text counts as UTF-8. */
export type PepperSecret = string | Uint8Array;

/** Secrets, kept outside of the database, without which its table is of no use: neither to test a guessed key nor to write one in. */
export interface PepperOptions {
  /**
   * Newest first, up to 10. Keys are stored as HMAC-SHA-256 under the first; those under another still work, and are rewritten when
   * they are used.
   */
  secrets: readonly PepperSecret[];
  /**
   * One that comes next, for a rolling deployment: keys that other instances store under it work here already, and stay so. Once each
   * instance has it, it goes to the front of `secrets`. Default: none.
   */
  upcoming?: PepperSecret | null;
  /**
   * What becomes of keys that are stored without a pepper, as before there was one. `adopt`: they work, and are rewritten when they
   * are used. `refuse`: they do not work any more, so that nobody can write one into the table. Default `adopt`.
   */
  unpeppered?: 'adopt' | 'refuse';
  /**
   * Where the table is one of a Rails app: true says that the app shall not be able to check keys made or used here any more, for it
   * knows no pepper. Without it, the boot stops there. Default false.
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

const CHECKS: FieldChecks<PepperOptions> = {
  secrets: (value) =>
    Array.isArray(value) && value.length <= MAX_SECRETS && Array.from(value).every(isSecret),
  upcoming: (value) => value === null || isSecret(value),
  unpeppered: (value) => value === 'adopt' || value === 'refuse',
  lockOutRails: (value) => typeof value === 'boolean',
};

export function checkPepper(value: unknown): string | undefined {
  return must(
    value === null || (fieldsFit(value, CHECKS) && isConsistent(value as PepperOptions)),
    `{ secrets } up to ${MAX_SECRETS} texts or Buffers of ${MIN_BYTES} to ${MAX_BYTES} bytes, newest first, { upcoming } one more or ` +
      'null, none of them twice and one at least, { unpeppered } "adopt" or, with secrets, "refuse", { lockOutRails } true or false',
  );
}

/** What keys are stored under where there is no pepper. */
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
