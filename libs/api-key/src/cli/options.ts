import { InvalidArgumentError, Option } from 'commander';
import type { Quota, RateLimit } from '../index';
import { parseDuration } from './duration';

const DAY_MS = 86_400_000;

/** The option `--json`, which every command accepts. */
export function json(): Option {
  return new Option('--json', 'print one JSON document and nothing else');
}

/** The option `--user-id`, which names an owner by id, also without a table of users. */
export function userIdOption(description: string): Option {
  return new Option('--user-id <id>', description).argParser(parseId);
}

/** The items of a comma-separated list. Spaces around items, and empty items, are removed. */
export function parseList(text: string): string[] {
  return text
    .split(',')
    .map((item) => item.trim())
    .filter(Boolean);
}

/** @throws InvalidArgumentError if the text is not an email address */
export function parseEmail(text: string): string {
  if (!/^[^\s@]+@[^\s@]+$/.test(text))
    throw new InvalidArgumentError('Give an email address, such as ops@example.com, or --user-id <id>.');
  return text;
}

/** @throws InvalidArgumentError if the text is empty, as that of an unset variable of a shell */
function parseId(text: string): string {
  if (text.trim() === '') throw new InvalidArgumentError('Give the id of the owner, such as 42.');
  return text;
}

/**
 * @returns milliseconds
 * @throws InvalidArgumentError if the text is not a duration
 */
export function parseExpiry(text: string): number {
  const ms = parseDuration(text);
  if (ms === null)
    throw new InvalidArgumentError(
      'Give a whole number and s, m, h, d or w, such as 90d; at most 100 years.',
    );
  return ms;
}

/**
 * @returns seconds, from 0 to those of 30 days
 * @throws InvalidArgumentError if the text is not such a duration
 */
export function parseOverlap(text: string): number {
  const ms = /^0[smhdw]?$/.test(text) ? 0 : (parseDuration(text) ?? Number.NaN);
  if (ms >= 0 && ms <= 30 * DAY_MS) return ms / 1_000;
  throw new InvalidArgumentError('Give a whole number and s, m, h, d or w, such as 24h; at most 30d.');
}

/**
 * @returns whole days, 0 or more
 * @throws InvalidArgumentError if the text is not a duration of whole days
 */
export function parseDays(text: string): number {
  const ms = /^0[dw]?$/.test(text) ? 0 : (parseDuration(text) ?? Number.NaN);
  if (!Number.isInteger(ms / DAY_MS))
    throw new InvalidArgumentError('Give whole days or weeks, such as 90d or 12w.');
  return ms / DAY_MS;
}

/**
 * Parses a rate limit such as `100/60s`.
 * @throws InvalidArgumentError if the text has another form
 */
export function parseRateLimit(text: string): RateLimit {
  const [, limit, window] = /^([1-9]\d{0,9})\/(\w+)$/.exec(text) ?? [];
  const windowMs = parseDuration(window ?? '');
  if (limit === undefined || windowMs === null)
    throw new InvalidArgumentError('Give requests per window, such as 100/60s or 10000/1h.');
  return { limit: Number(limit), windowSeconds: windowMs / 1_000 };
}

/**
 * Parses a quota such as `10000/day`.
 * @throws InvalidArgumentError if the text has another form
 */
export function parseQuota(text: string): Quota {
  const [, limit, period] = /^([1-9]\d{0,9})\/(day|month)$/.exec(text) ?? [];
  if (limit === undefined)
    throw new InvalidArgumentError('Give requests per day or month, such as 10000/day.');
  return { limit: Number(limit), period: period === 'day' ? 'day' : 'month' };
}

/**
 * A parser that also accepts a word for "no value", such as `never`. Returns false for this word,
 * because Commander turns null into an empty text.
 */
export function orNone<T>(word: string, parse: (text: string) => T): (text: string) => T | false {
  return (text) => (text === word ? false : parse(text));
}
