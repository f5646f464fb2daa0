import type { DataSource } from 'typeorm';
import { isKeyPrefix, type KeyFormat } from '../credential/format';
import { isScope, isWildcard } from '../credential/scope';
import type { ApiKeyEventSink } from '../model/api-key.event';
import { isCidr } from '../model/ip-address';
import type { Scope } from '../model/scope-catalogue';
import {
  type Check,
  definedOf,
  type FieldChecks,
  fieldsFit,
  isPlainObject,
  isWhole,
  milliseconds,
  must,
} from './checks';
import { checkPepper, type Pepper, type PepperOptions, resolvePepper } from './pepper';
import {
  checkFailedAttempts,
  checkRateLimit,
  FAILED_ATTEMPTS_DEFAULTS,
  type FailedAttemptsOptions,
  RATE_LIMIT_DEFAULTS,
  type RateLimitOptions,
} from './rate-limit';

/** Where events of requests go: the table, Nest's logger, nowhere, or a sink of the application. */
export type EventTarget = 'table' | 'log' | 'off' | ApiKeyEventSink;

/** What happens to the events that the library tells. Each field that is left out keeps its default. */
export interface AuditOptions {
  /** Refused requests whose key was judged. `log` warns. Default `table`, in batches off the request's path. */
  refused?: EventTarget;
  /** Requests that were let in. `log` is at level debug. Default `log`. */
  accepted?: EventTarget;
  /** Changes of keys go to the table in their own transaction; they may go to a sink of the application as well. Default null. */
  changes?: ApiKeyEventSink | null;
  /** How many events of requests may wait to be written, 1 to 1,000,000; more are dropped and counted. Default 1,000. */
  queueSize?: number;
  /** Milliseconds between two writes of those events, 10 to 3,600,000. Default 1,000. */
  flushIntervalMs?: number;
}

/** What `ApiKeyModule.forRoot` takes. Each field that is left out keeps its default. */
export interface ApiKeyOptions {
  /** Constant start of new keys: 1 to 32 letters and digits, parts joined by `_`. Default `key`. */
  prefix?: string;
  /**
   * Form of new keys. `checksummed` (default) accepts that form alone, so that a mistyped key is refused without
   * I/O; `hex` mints the Rails form, 64 hex digits, and accepts both.
   */
  format?: KeyFormat;
  /** Secrets under which keys are stored, kept outside of the database. Default: none, keys are stored as their SHA-256. */
  pepper?: PepperOptions | null;
  /** The catalogue: each scope and what it allows. With it, any other scope on a route or a key is an error. Default: none. */
  scopes?: Readonly<Record<Scope, string>>;
  /**
   * Turns the owner of a key into `request.user`; null, or anything else that is falsy, refuses the key. An error that is not an
   * `HttpException` answers 503. Default: `{ id: userId }`.
   */
  loadUser?: (userId: string) => unknown;
  /**
   * Whether every route must say who may use it: true stops the boot where one has neither `@Scopes`, `@AnyScope` nor `@Public` and no
   * guard, `scopes` also where it has a guard and nothing else. Default false.
   */
  strict?: boolean | 'scopes';
  /** Realm of the `WWW-Authenticate` challenge: printable ASCII without `"` and `\`. Default `api`. */
  realm?: string;
  /**
   * Header whose key is read if there is no Bearer credential, or an empty one. Default
   * `X-API-Key`.
   */
  headerName?: string;
  /**
   * CIDR blocks of the proxies whose `X-Forwarded-Proto` tells whether the client came by HTTPS. Never
   * `true` or a number of hops. Default: none.
   */
  trustProxy?: readonly string[];
  /** CIDR blocks from which plaintext is accepted, such as a container bridge. Default: none. */
  allowInsecureHttpFrom?: readonly string[];
  /**
   * Whether plaintext is accepted from everywhere: keys then cross the network for everyone to read, and each start says so in the
   * log. For networks where something else encrypts. Default false.
   */
  allowInsecureHttp?: boolean;
  /**
   * What happens to keys that come in plaintext where that is refused: `refuse` looks at them no further; `revoke` ends them, four of a
   * request at most, for whoever listened has them now. Only where the protocol is known for certain: a peer in `trustProxy` said
   * `http`, or another machine, which is not in it, sent no trace of a proxy. So list all that end TLS for you there first.
   * Default `refuse`.
   */
  onPlaintextKey?: 'refuse' | 'revoke';
  /** Whether plaintext from this machine itself, with no trace of a proxy, is accepted. Default true. */
  loopbackException?: boolean;
  /** Where events go, and how many may wait. */
  audit?: AuditOptions;
  /** How the limits of keys are counted, by `ApiKeyThrottlerGuard`. */
  rateLimit?: RateLimitOptions;
  /** From when on the look-ups of an address go out together, for most of its keys are unknown. */
  failedAttempts?: FailedAttemptsOptions;
  /** Whether `last_used_at` is written at all. Default true. */
  lastUsed?: boolean;
  /** Milliseconds between two writes of `last_used_at`, 100 to 3,600,000. Default 10,000. */
  lastUsedIntervalMs?: number;
  /** Whether requests are counted by key, hour and day, for `ApiKeyService.usage`. Default true. */
  usage?: boolean;
  /** Milliseconds between two writes of those counts, 100 to 3,600,000. Default 60,000. */
  usageIntervalMs?: number;
  /** How many keys are remembered, and as many digests that are of none: 0 to 10,000,000; 0: each request asks the database. Default 10,000. */
  cacheSize?: number;
  /**
   * Milliseconds that an instance which no longer hears of revocations may still trust what it remembers, 500 to 60,000.
   * `revoke` with `everywhere` waits as long. Default 2,000.
   */
  leaseMs?: number;
  /** Milliseconds between two heartbeats of the revocation feed, 50 to 30,000, at most half of `leaseMs`. Default 500. */
  heartbeatMs?: number;
  /** Milliseconds for which keys are served from memory while the database is away, 0 to 86,400,000: it widens the lease. Default 0. */
  serveCachedForMs?: number;
  /**
   * Milliseconds that a key is trusted where no revocation feed can listen, as behind a pooler in transaction mode, 0 to 60,000.
   * For so long, a revoked key may still be accepted. Default 0: not at all.
   */
  staleForMs?: number;
  /**
   * Milliseconds that what `loadUser` returned is remembered, 0 to 60,000; 0: it is asked each time. Meanwhile all requests of an
   * owner get the same object: they must not change it. Default: `leaseMs`.
   */
  userCacheMs?: number;
  /** Milliseconds after which a request whose key is looked up, or whose user is loaded, is answered 503, 10 to 60,000. Default 200. */
  lookUpTimeoutMs?: number;
  /** How many look-ups of keys may be under way, and as many calls of `loadUser`, 1 to 100,000; more are answered 503 at once. Default 500. */
  maxLookUps?: number;
}

/** `ApiKeyOptions` with `dataSource`, which has to be known before the other options are computed. */
export interface ApiKeyRootOptions extends ApiKeyOptions {
  /** The TypeORM data source of the keys: an instance, or the name it has in `TypeOrmModule`. Default: the unnamed one. */
  dataSource?: DataSource | string;
}

/** The options after defaults and checks, frozen. */
export type ResolvedApiKeyOptions = Readonly<
  Required<Omit<ApiKeyOptions, 'scopes' | 'pepper' | 'audit' | 'rateLimit' | 'failedAttempts'>>
> & {
  readonly audit: Readonly<Required<AuditOptions>>;
  readonly rateLimit: Readonly<Required<RateLimitOptions>>;
  readonly failedAttempts: Readonly<Required<FailedAttemptsOptions>>;
  readonly scopes: Readonly<Record<string, string>> | null;
  readonly pepper: Pepper | null;
};

export const API_KEY_OPTIONS = Symbol('API_KEY_OPTIONS');

const DEFAULTS = {
  prefix: 'key',
  format: 'checksummed',
  scopes: null,
  pepper: null,
  loadUser: (userId: string) => ({ id: userId }),
  strict: false,
  realm: 'api',
  headerName: 'X-API-Key',
  trustProxy: [],
  allowInsecureHttpFrom: [],
  allowInsecureHttp: false,
  onPlaintextKey: 'refuse',
  loopbackException: true,
  audit: { refused: 'table', accepted: 'log', changes: null, queueSize: 1_000, flushIntervalMs: 1_000 },
  rateLimit: RATE_LIMIT_DEFAULTS,
  failedAttempts: FAILED_ATTEMPTS_DEFAULTS,
  lastUsed: true,
  lastUsedIntervalMs: 10_000,
  usage: true,
  usageIntervalMs: 60_000,
  cacheSize: 10_000,
  leaseMs: 2_000,
  heartbeatMs: 500,
  serveCachedForMs: 0,
  staleForMs: 0,
  userCacheMs: 2_000,
  lookUpTimeoutMs: 200,
  maxLookUps: 500,
} satisfies ResolvedApiKeyOptions;

const REALM = /^[\x20\x21\x23-\x5b\x5d-\x7e]{1,255}$/;
const HEADER_NAME = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,255}$/;

/** Each check answers what the option must be where the value is not that. */
const CHECKS: Record<keyof ResolvedApiKeyOptions, Check> = {
  prefix: (value) =>
    must(
      typeof value === 'string' && isKeyPrefix(value),
      '1 to 32 letters and digits, parts joined by "_", such as acme_live',
    ),
  format: (value) => must(value === 'checksummed' || value === 'hex', '"checksummed" or "hex"'),
  scopes: checkCatalogue,
  pepper: checkPepper,
  loadUser: (value) =>
    must(typeof value === 'function', 'a function from the userId to the user, or null where there is none'),
  strict: (value) => must(typeof value === 'boolean' || value === 'scopes', 'true, false or "scopes"'),
  realm: (value) =>
    must(
      typeof value === 'string' && REALM.test(value),
      'printable ASCII without quotation marks and backslashes',
    ),
  headerName: (value) =>
    must(
      typeof value === 'string' && HEADER_NAME.test(value) && value.toLowerCase() !== 'authorization',
      'the name of an HTTP header other than Authorization',
    ),
  trustProxy: checkCidrs,
  allowInsecureHttpFrom: checkCidrs,
  allowInsecureHttp: (value) => must(typeof value === 'boolean', 'true or false'),
  onPlaintextKey: (value) => must(value === 'refuse' || value === 'revoke', '"refuse" or "revoke"'),
  loopbackException: (value) => must(typeof value === 'boolean', 'true or false'),
  audit: checkAudit,
  rateLimit: checkRateLimit,
  failedAttempts: checkFailedAttempts,
  lastUsed: (value) => must(typeof value === 'boolean', 'true or false'),
  lastUsedIntervalMs: milliseconds(100, 3_600_000),
  usage: (value) => must(typeof value === 'boolean', 'true or false'),
  usageIntervalMs: milliseconds(100, 3_600_000),
  cacheSize: (value) => must(isWhole(value, 0, 10_000_000), 'a whole number from 0 to 10000000'),
  leaseMs: milliseconds(500, 60_000),
  heartbeatMs: milliseconds(50, 30_000),
  serveCachedForMs: milliseconds(0, 86_400_000),
  staleForMs: milliseconds(0, 60_000),
  userCacheMs: milliseconds(0, 60_000),
  lookUpTimeoutMs: milliseconds(10, 60_000),
  maxLookUps: (value) => must(isWhole(value, 1, 100_000), 'a whole number from 1 to 100000'),
};

const AUDIT_CHECKS: FieldChecks<AuditOptions> = {
  refused: isTarget,
  accepted: isTarget,
  changes: (value) => value === null || isSink(value),
  queueSize: (value) => isWhole(value, 1, 1_000_000),
  flushIntervalMs: (value) => isWhole(value, 10, 3_600_000),
};

/**
 * Fills in defaults field by field, checks, and freezes.
 * @throws Error that names every wrong option, what it must be, and no value
 */
export function resolveOptions(options: ApiKeyOptions = {}): ResolvedApiKeyOptions {
  if (!isPlainObject(options)) throw new Error('ApiKeyModule: the options must be a plain object');
  const given = Object.entries(options).filter(
    ([name, value]) => name !== 'dataSource' && value !== undefined,
  );
  const problems = given.flatMap(([name, value]) => problemOf(name, value));
  if (problems.length > 0) throw new Error(`ApiKeyModule: ${problems.join('; ')}`);
  const merged: ResolvedApiKeyOptions = {
    ...DEFAULTS,
    userCacheMs: options.leaseMs ?? DEFAULTS.leaseMs,
    ...Object.fromEntries(given),
  };
  if (merged.heartbeatMs * 2 > merged.leaseMs)
    throw new Error('ApiKeyModule: option "heartbeatMs" must be at most half of "leaseMs"');
  return Object.freeze({
    ...merged,
    audit: Object.freeze({ ...DEFAULTS.audit, ...definedOf(merged.audit) }),
    rateLimit: Object.freeze({ ...DEFAULTS.rateLimit, ...definedOf(merged.rateLimit) }),
    failedAttempts: Object.freeze({ ...DEFAULTS.failedAttempts, ...definedOf(merged.failedAttempts) }),
    pepper: resolvePepper(options.pepper ?? null),
    scopes: merged.scopes && Object.freeze({ ...merged.scopes }),
    trustProxy: Object.freeze([...merged.trustProxy]),
    allowInsecureHttpFrom: Object.freeze([...merged.allowInsecureHttpFrom]),
  });
}

function problemOf(name: string, value: unknown): string[] {
  if (!Object.hasOwn(CHECKS, name)) {
    return [`there is no option "${name}"; the options are ${Object.keys(CHECKS).join(', ')} and dataSource`];
  }
  const wanted = CHECKS[name as keyof typeof CHECKS](value);
  return wanted === undefined ? [] : [`option "${name}" must be ${wanted}`];
}

function checkCatalogue(value: unknown): string | undefined {
  const wanted = 'an object of scopes and what each allows, such as { "orders:read": "Read orders" }';
  if (value === null) return undefined;
  if (!isPlainObject(value)) return wanted;
  const fits = Object.entries(value).every(
    ([scope, text]) => isScope(scope) && !isWildcard(scope) && typeof text === 'string',
  );
  return must(fits, `${wanted}, without wildcards`);
}

function checkAudit(value: unknown): string | undefined {
  return must(
    fieldsFit(value, AUDIT_CHECKS),
    '{ refused, accepted } of "table", "log", "off" or a sink with a method record, { changes } a sink or null, ' +
      '{ queueSize } from 1 to 1000000, { flushIntervalMs } from 10 to 3600000',
  );
}

function isTarget(value: unknown): boolean {
  return value === 'table' || value === 'log' || value === 'off' || isSink(value);
}

function isSink(value: unknown): boolean {
  return typeof (value as ApiKeyEventSink | null)?.record === 'function';
}

function checkCidrs(value: unknown): string | undefined {
  const wanted =
    'a list of addresses or CIDR blocks, such as ["10.0.0.0/8", "fd00::/8"]; true and a number of hops are not accepted';
  return must(Array.isArray(value) && Array.from(value).every(isCidr), wanted);
}
