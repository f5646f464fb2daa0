import { visiblePrefix, visibleSuffix } from './format';
import { maskKey } from './mask';

/**
 * Pattern of the last part of a checksummed key. The text before this part may be shown, and a
 * search for that text would take quadratic time. The pattern also matches the start of a truncated
 * key, because such a key can be guessed unless 60 bits are missing. A UUID without dashes has 32
 * characters, so the pattern needs 33.
 */
const ENDS_CHECKSUMMED = /_[0-9A-Za-z]{33,}/g;
/**
 * Pattern of a whole or truncated hex key. A SHA-1, which names a commit, has only 40 digits. 48
 * digits are 64 bits less than a whole key.
 */
const HEX = /[0-9A-Fa-f]{48,}/g;

/**
 * Masks each key in a text, as `acme_live_3fKd...9xQz`. Also masks truncated keys, texts that only
 * look like keys, and SHA-256 digests. Finds both forms of keys. The time is proportional to the
 * length of any text.
 */
export function redactApiKeys(text: string): string {
  return text
    .replaceAll(ENDS_CHECKSUMMED, masked)
    .replaceAll(HEX, (key) => maskKey(key.slice(0, 8), visibleSuffix(key)));
}

function masked(key: string): string {
  return maskKey(visiblePrefix(key), visibleSuffix(key));
}
