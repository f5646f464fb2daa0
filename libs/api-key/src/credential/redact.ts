import { visiblePrefix, visibleSuffix } from './format';
import { maskKey } from './mask';

/** What ends a key of ours: found first, and what stands before it afterwards, for together they would take quadratic time. */
const ENDS_CHECKSUMMED = /_[0-9A-Za-z]{49,}/g;
const HEX = /[0-9A-Fa-f]{64,}/g;
const BEFORE = /[0-9A-Za-z_]*$/;
const LONGEST_PREFIX = 32;

/**
 * Text with each key in it masked, as `acme_live_3fKd...9xQz`: of either form, whether it is one of ours or only looks like one,
 * digests too. Takes time in proportion to the text, whatever is in it.
 */
export function redactApiKeys(text: string): string {
  return withoutChecksummed(text).replaceAll(HEX, (key) => maskKey(key.slice(0, 8), visibleSuffix(key)));
}

function withoutChecksummed(text: string): string {
  let redacted = '';
  let from = 0;
  for (const match of text.matchAll(ENDS_CHECKSUMMED)) {
    const begin =
      match.index - prefixLengthAt(text.slice(Math.max(from, match.index - LONGEST_PREFIX), match.index));
    const end = match.index + match[0].length;
    redacted += text.slice(from, begin) + masked(text.slice(begin, end));
    from = end;
  }
  return redacted + text.slice(from);
}

function prefixLengthAt(before: string): number {
  return before.length - before.search(BEFORE);
}

function masked(key: string): string {
  return maskKey(visiblePrefix(key), visibleSuffix(key));
}

/** What `pino` takes as `redact`, for its usual fields of a request. */
export interface PinoRedaction {
  readonly paths: string[];
  readonly censor: string;
}

/**
 * Has `pino` (or `nestjs-pino`) leave the headers out that carry keys: `pino({ redact: pinoRedaction() })`.
 * @param headerName as the option of that name
 */
export function pinoRedaction(headerName = 'X-API-Key'): PinoRedaction {
  const headers = ['authorization', headerName.toLowerCase()];
  const places = ['headers', 'req.headers', 'request.headers'];
  return {
    paths: places.flatMap((place) => headers.map((name) => `${place}[${JSON.stringify(name)}]`)),
    censor: '[redacted]',
  };
}
