import { randomBytes } from 'node:crypto';
import { crc32 } from 'node:zlib';

/**
 * The two forms of a raw key: `checksummed` has a checksum, `hex` has 64 hex digits as in Rails.
 */
export type KeyFormat = 'checksummed' | 'hex';

const BASE62 = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
const RANDOM_LENGTH = 43;
const CHECKSUM_LENGTH = 6;
const TAIL_LENGTH = RANDOM_LENGTH + CHECKSUM_LENGTH;
const HEX_BYTES = 32;
const VISIBLE_RANDOM_LENGTH = 4;
const RAILS_PREFIX_LENGTH = 8;
const SUFFIX_LENGTH = 4;
const MAX_PREFIX_LENGTH = 32;

/**
 * The largest multiple of 62 that fits in a byte. Bytes from this value on would make some base62
 * digits more likely, so they are rejected.
 */
const UNBIASED_BYTE_LIMIT = 248;

const PREFIX = /^[A-Za-z][A-Za-z0-9]*(?:_[A-Za-z0-9]+)*$/;
const CHECKSUMMED = /^[A-Za-z][A-Za-z0-9]*(?:_[A-Za-z0-9]+)*_[0-9A-Za-z]{49}$/;
const HEX = /^[0-9a-f]{64}$/;

/** Length of the longest key of either form, in characters. */
export const MAX_KEY_LENGTH = MAX_PREFIX_LENGTH + 1 + TAIL_LENGTH;

/**
 * Returns whether a text can be a prefix of keys. A prefix has 1 to 32 letters and digits, in parts
 * joined by a single `_`, and starts with a letter.
 */
export function isKeyPrefix(prefix: string): boolean {
  return prefix.length <= MAX_PREFIX_LENGTH && PREFIX.test(prefix);
}

/**
 * Creates a raw key with at least 256 random bits: `<prefix>_<43 base62><6 base62 CRC-32>`, or 64
 * hex digits.
 */
export function mintKey(format: KeyFormat, prefix: string): string {
  if (format === 'hex') return randomBytes(HEX_BYTES).toString('hex');
  const body = `${prefix}_${randomBase62(RANDOM_LENGTH)}`;
  return body + checksum(body);
}

/**
 * Returns whether a credential has the form of a key. Either its checksum is right, or hex keys are
 * accepted and the credential has 64 lower-case hex digits. The configured prefix is not compared,
 * because keys with an earlier prefix must still work. Does no I/O.
 */
export function isWellFormedKey(credential: string, acceptsHex: boolean): boolean {
  if (credential.length > MAX_KEY_LENGTH) return false;
  if (acceptsHex && HEX.test(credential)) return true;
  if (!CHECKSUMMED.test(credential)) return false;
  const body = credential.slice(0, -CHECKSUM_LENGTH);
  return credential.endsWith(checksum(body));
}

/**
 * Returns the first part of a key, which may be shown: the prefix, `_` and 4 random characters. For
 * a hex key, returns the first 8 characters.
 */
export function visiblePrefix(key: string): string {
  const underscore = key.lastIndexOf('_');
  return key.slice(0, underscore < 0 ? RAILS_PREFIX_LENGTH : underscore + 1 + VISIBLE_RANDOM_LENGTH);
}

/** Returns the last 4 characters of a key, which may be shown. */
export function visibleSuffix(key: string): string {
  return key.slice(-SUFFIX_LENGTH);
}

/**
 * Returns a global regular expression that finds keys in text, for secret scanners. The expression
 * finds keys with the given prefix, or with any prefix if none is given. It does not check the
 * checksum.
 * @throws RangeError if no key can have this prefix
 */
export function apiKeyPattern(prefix?: string): RegExp {
  if (prefix !== undefined && !isKeyPrefix(prefix)) throw new RangeError('apiKeyPattern: not a key prefix');
  const constant = prefix ?? '[A-Za-z][A-Za-z0-9]*(?:_[A-Za-z0-9]+)*';
  return new RegExp(`\\b${constant}_[0-9A-Za-z]{${TAIL_LENGTH}}\\b`, 'g');
}

function randomBase62(length: number): string {
  let digits = '';
  while (digits.length < length) {
    for (const byte of randomBytes(length - digits.length)) {
      if (byte < UNBIASED_BYTE_LIMIT) digits += BASE62.charAt(byte % BASE62.length);
    }
  }
  return digits;
}

function checksum(body: string): string {
  let rest = crc32(body);
  let digits = '';
  for (let i = 0; i < CHECKSUM_LENGTH; i++) {
    digits = BASE62.charAt(rest % BASE62.length) + digits;
    rest = Math.floor(rest / BASE62.length);
  }
  return digits;
}
