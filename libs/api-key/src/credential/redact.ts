import { visiblePrefix, visibleSuffix } from './format';
import { maskKey } from './mask';

/**
 * What ends a key of ours; what stands before it may be shown, and to look for it as well would take quadratic time. Less than a
 * whole key: one that a log has cut short can be guessed unless 60 bits of it are gone. More than a UUID without its dashes.
 */
const ENDS_CHECKSUMMED = /_[0-9A-Za-z]{33,}/g;
/** More than a SHA-1 has, which names commits; 64 bits less than a key. */
const HEX = /[0-9A-Fa-f]{48,}/g;

/**
 * Text with each key in it masked, as `acme_live_3fKd...9xQz`: of either form, also where its end is cut off, whether it is one of
 * ours or only looks like one, SHA-256 digests too. Takes time in proportion to the text, whatever is in it.
 */
export function redactApiKeys(text: string): string {
  return text
    .replaceAll(ENDS_CHECKSUMMED, masked)
    .replaceAll(HEX, (key) => maskKey(key.slice(0, 8), visibleSuffix(key)));
}

function masked(key: string): string {
  return maskKey(visiblePrefix(key), visibleSuffix(key));
}
