import { InvalidArgumentError, Option } from 'commander';
import type { Quota, RateLimit } from '../index';
import { parseDuration } from './duration';

const DAY_MS = 86_400_000;

/** `--json`, which every command takes. */
export function json(): Option {
  return new Option('--json', 'print one JSON document and nothing else');
}

/** Items of a list, blanks around them and empty ones left out. */
export function parseList(text: string): string[] {
  return text
    .split(',')
    .map((item) => item.trim())
    .filter(Boolean);
}

/** @throws InvalidArgumentError */
export function parseEmail(text: string): string {
  if (!/^[^\s@]+@[^\s@]+$/.test(text)) throw new InvalidArgumentError('Give an email address.');
  return text;
}

/** Milliseconds. @throws InvalidArgumentError */
export function parseExpiry(text: string): number {
  const ms = parseDuration(text);
  if (ms === null)
    throw new InvalidArgumentError('Give a whole number of s, m, h, d or w, up to 100 years, as 90d.');
  return ms;
}

/** Seconds from 0. @throws InvalidArgumentError */
export function parseOverlap(text: string): number {
  return /^0[smhdw]?$/.test(text) ? 0 : parseExpiry(text) / 1_000;
}

/** Whole days from 0. @throws InvalidArgumentError */
export function parseDays(text: string): number {
  const ms = /^0[dw]?$/.test(text) ? 0 : (parseDuration(text) ?? Number.NaN);
  if (!Number.isInteger(ms / DAY_MS))
    throw new InvalidArgumentError('Give whole days or weeks, as 90d or 12w.');
  return ms / DAY_MS;
}

/** `100/60s`. @throws InvalidArgumentError */
export function parseRateLimit(text: string): RateLimit {
  const [, limit, window] = /^([1-9]\d{0,9})\/(\w+)$/.exec(text) ?? [];
  const windowMs = parseDuration(window ?? '');
  if (limit === undefined || windowMs === null)
    throw new InvalidArgumentError('Give requests and a window, as 100/60s or 10000/1h.');
  return { limit: Number(limit), windowSeconds: windowMs / 1_000 };
}

/** `10000/day`. @throws InvalidArgumentError */
export function parseQuota(text: string): Quota {
  const [, limit, period] = /^([1-9]\d{0,9})\/(day|month)$/.exec(text) ?? [];
  if (limit === undefined) throw new InvalidArgumentError('Give requests and day or month, as 10000/day.');
  return { limit: Number(limit), period: period === 'day' ? 'day' : 'month' };
}

/** A parser that also takes a word for "none of it", which is false: Commander keeps no null. */
export function orNone<T>(word: string, parse: (text: string) => T): (text: string) => T | false {
  return (text) => (text === word ? false : parse(text));
}
