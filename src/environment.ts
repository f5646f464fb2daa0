import { BlockList, isIP } from 'node:net';
import type { LogLevel } from '@nestjs/common';
import type { KeyFormat, RateLimit } from 'nestjs-api-key';

/** Settings of the app, read from environment variables. */
export interface Environment {
  readonly port: number;
  readonly host: string;
  readonly databaseUrl: string | undefined;
  readonly dataDir: string;
  readonly httpAdapter: 'express' | 'fastify';
  /** Format of new keys. Default: `hex` on a table that Rails created, otherwise `checksummed`. */
  readonly keyFormat: KeyFormat | undefined;
  readonly trustProxy: readonly string[];
  readonly redisUrl: string | undefined;
  /**
   * Storage of the rate-limit counters. Default: `redis` if `REDIS_URL` is set, otherwise `memory`.
   */
  readonly rateLimitStorage: 'memory' | 'postgres' | 'redis';
  /**
   * Rate limit of keys without their own rate limit, from `RATE_LIMIT`, for example `600/60s`.
   * `null`: no rate limit.
   */
  readonly rateLimit: RateLimit | null;
  /**
   * Log levels, from `LOG_LEVEL`. Default: `log`. The level `debug` also logs each accepted
   * request.
   */
  readonly logLevels: readonly LogLevel[];
}

const SECONDS = { s: 1, m: 60, h: 3_600, d: 86_400 } as const;
const MAX_WINDOW_SECONDS = 366 * SECONDS.d;
const LOG_LEVELS = ['fatal', 'error', 'warn', 'log', 'debug', 'verbose'] as const satisfies LogLevel[];

/**
 * Reads and checks the environment variables.
 * @throws Error that names each invalid variable and its permitted values
 */
export function environment(env: NodeJS.ProcessEnv): Environment {
  const problems: string[] = [];
  const oneOf = <T extends string>(name: string, choices: readonly T[]): T | undefined => {
    const value = env[name] || undefined;
    const chosen = choices.find((choice) => choice === value);
    if (value !== undefined && chosen === undefined) problems.push(`${name} must be ${choices.join(' or ')}`);
    return chosen;
  };
  const result: Environment = {
    port: Number(env.PORT || 3000),
    host: env.HOST || '127.0.0.1',
    databaseUrl: env.DATABASE_URL || undefined,
    dataDir: env.DATA_DIR || '.data',
    httpAdapter: oneOf('HTTP_ADAPTER', ['express', 'fastify']) ?? 'express',
    keyFormat: oneOf<KeyFormat>('API_KEY_FORMAT', ['checksummed', 'hex']),
    redisUrl: env.REDIS_URL || undefined,
    rateLimitStorage:
      oneOf('RATE_LIMIT_STORAGE', ['memory', 'postgres', 'redis']) ?? (env.REDIS_URL ? 'redis' : 'memory'),
    rateLimit: rateLimitOf(env.RATE_LIMIT),
    logLevels: LOG_LEVELS.slice(0, LOG_LEVELS.indexOf(oneOf('LOG_LEVEL', LOG_LEVELS) ?? 'log') + 1),
    trustProxy: (env.TRUST_PROXY ?? '')
      .split(',')
      .map((cidr) => cidr.trim())
      .filter(Boolean),
  };
  if (env.RATE_LIMIT && result.rateLimit === null)
    problems.push('RATE_LIMIT must be requests and a window of s, m, h or d, as 600/60s');
  if (result.rateLimitStorage === 'redis' && result.redisUrl === undefined)
    problems.push('RATE_LIMIT_STORAGE=redis needs REDIS_URL, such as redis://127.0.0.1:6379');
  if (result.redisUrl !== undefined && !/^rediss?:\/\//.test(result.redisUrl))
    problems.push('REDIS_URL must begin with redis:// or rediss://');
  if (result.databaseUrl !== undefined && !/^postgres(ql)?:\/\//.test(result.databaseUrl))
    problems.push('DATABASE_URL must begin with postgres:// or postgresql://');
  if (!result.trustProxy.every(isBlock))
    problems.push('TRUST_PROXY must be a list of addresses or CIDR blocks, never true or a number of hops');
  if (!Number.isInteger(result.port) || result.port < 0 || result.port > 65_535)
    problems.push('PORT must be a number from 0 to 65535');
  if (problems.length > 0) throw new Error(`${problems.join('; ')}.`);
  return result;
}

/** Parses a rate limit such as `600/60s`. Returns `null` if the text is missing or invalid. */
function rateLimitOf(text: string | undefined): RateLimit | null {
  const [, requests, length, unit] = /^([1-9]\d{0,8})\/([1-9]\d{0,7})([smhd])$/.exec(text ?? '') ?? [];
  const windowSeconds = Number(length) * SECONDS[unit as keyof typeof SECONDS];
  return windowSeconds <= MAX_WINDOW_SECONDS ? { limit: Number(requests), windowSeconds } : null;
}

function isBlock(text: string): boolean {
  const [address = '', bits = '', ...rest] = text.split('/');
  const family = isIP(address) === 6 ? 'ipv6' : 'ipv4';
  try {
    if (bits === '' || rest.length > 0) return isIP(text) !== 0;
    new BlockList().addSubnet(address, Number(bits), family);
    return /^\d+$/.test(bits);
  } catch {
    return false;
  }
}
