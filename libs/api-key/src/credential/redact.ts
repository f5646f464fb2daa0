import { visiblePrefix, visibleSuffix } from './format';
import { maskKey } from './mask';

/**
 * The last part of a checksummed key. The text before it may be shown, and a search for that text
 * would take quadratic time. The pattern also matches a key that a log cut short, because such a
 * key can be guessed unless 60 bits are missing. 33 characters are more than a UUID without dashes
 * has.
 */
const ENDS_CHECKSUMMED = /_[0-9A-Za-z]{33,}/g;
/**
 * 48 digits are more than a SHA-1 has, which names commits. They are 64 bits less than a key has.
 */
const HEX = /[0-9A-Fa-f]{48,}/g;

/**
 * Masks each key in a text, as `acme_live_3fKd...9xQz`. This includes both forms of keys, keys that
 * are cut short, texts that only look like keys, and SHA-256 digests. The time is proportional to
 * the length of the text, for any text.
 */
export function redactApiKeys(text: string): string {
  return text
    .replaceAll(ENDS_CHECKSUMMED, masked)
    .replaceAll(HEX, (key) => maskKey(key.slice(0, 8), visibleSuffix(key)));
}

function masked(key: string): string {
  return maskKey(visiblePrefix(key), visibleSuffix(key));
}
