import type { DataSource } from 'typeorm';
import type { KeyFormat } from '../credential/format';
import type { Scope } from '../model/scope-catalogue';
import { type AuditOptions, checkAudit, type ResolvedAuditOptions, resolveAudit } from './audit';
import { type CacheOptions, checkCache, type ResolvedCacheOptions, resolveCache } from './cache';
import { checkCatalogue } from './catalogue';
import { type Checks, isPlainObject, oneOf, problemsOf, rule, unknownOption, withDefaults } from './checks';
import {
  checkFailedAttempts,
  type FailedAttemptsOptions,
  type ResolvedFailedAttemptsOptions,
  resolveFailedAttempts,
} from './failed-attempts';
import { checkHttps, type HttpsOptions, type ResolvedHttpsOptions, resolveHttps } from './https';
import { newNameOf } from './moved-names';
import { checkPepper, type Pepper, type PepperOptions, resolvePepper } from './pepper';
import {
  checkPolicy,
  type PolicyOptions,
  problemsOfUnused,
  type ResolvedPolicyOptions,
  resolvePolicy,
} from './policy';
import {
  type AcceptedPrefixes,
  checkAcceptedPrefixes,
  checkHexEnvironment,
  checkPrefix,
  frozenPrefixes,
  type KeyPrefix,
  problemsOfPrefixes,
} from './prefixes';
import {
  checkRateLimit,
  type RateLimitOptions,
  type ResolvedRateLimitOptions,
  resolveRateLimit,
} from './rate-limit';
import { checkUsage, type ResolvedUsageOptions, resolveUsage, type UsageOptions } from './usage';

/**
 * The options of `ApiKeyModule.forRoot`. Each field that is omitted keeps its default, in the
 * sections as well.
 * @example
 * ApiKeyModule.forRoot({
 *   prefix: 'acme_live',
 *   scopes: { 'orders:read': 'Read orders', 'orders:write': 'Create and change orders' },
 *   loadUser: (userId) => users.find(userId),
 *   https: { trustProxy: ['10.0.0.0/8'] },
 *   cache: { size: 50_000, leaseMs: 1_000 },
 *   usage: { lastUsedIntervalMs: 30_000 },
 *   rateLimit: { limit: 600, windowSeconds: 60 },
 * })
 */
export interface ApiKeyOptions {
  /**
   * First part of each key: 1 to 32 letters and digits, in parts joined by `_`. Or the prefix of
   * each environment: `{ live: 'acme_live', test: 'acme_test' }`. Keys with another prefix are
   * refused without I/O. Default `key`.
   */
  prefix?: KeyPrefix;
  /**
   * Earlier prefixes whose keys are still accepted: a list, or a list for each environment. Default
   * none.
   */
  acceptedPrefixes?: AcceptedPrefixes;
  /**
   * Environment of keys of 64 hex digits, which have no prefix; null: they have none, and open no
   * route with `@Environments`. Default null.
   */
  hexEnvironment?: string | null;
  /**
   * Form of new keys. `checksummed` accepts only keys of this form, so that a mistyped key is
   * refused without I/O. `hex` creates keys in the Rails form, 64 hex digits, and accepts both
   * forms. Default `checksummed`.
   */
  format?: KeyFormat;
  /**
   * Each scope with a text that says what it allows. If this option is set, any other scope on a
   * route or a key is an error. Default: none.
   */
  scopes?: Readonly<Record<Scope, string>>;
  /**
   * Returns the value of `request.user` for the owner of a key. If the value is falsy, the key is
   * refused. If the function throws an error that is not an `HttpException`, the answer is 503.
   * Default: `{ id: userId }`.
   */
  loadUser?: (userId: string) => unknown;
  /**
   * Whether each route must declare who may use it. `true` stops the boot if a route has none of
   * `@Scopes`, `@AnyScope`, `@Public` and a guard. `scopes` stops the boot if a route has none of
   * `@Scopes`, `@AnyScope` and `@Public`, even if it has a guard. Default false.
   */
  strict?: boolean | 'scopes';
  /**
   * Realm of the `WWW-Authenticate` challenge: printable ASCII without `"` and `\`. Default `api`.
   */
  realm?: string;
  /**
   * Name of the key header. It is read only if there is no Bearer credential, or an empty one.
   * Default `X-API-Key`.
   */
  headerName?: string;
  /** Which requests may use plaintext HTTP. */
  https?: HttpsOptions;
  /** How keys and users are cached and looked up. */
  cache?: CacheOptions;
  /** What is written about the use of keys. */
  usage?: UsageOptions;
  /** Where events are sent, and how many may wait. */
  audit?: AuditOptions;
  /** How `ApiKeyThrottlerGuard` counts the limits of keys. */
  rateLimit?: RateLimitOptions;
  /** When the look-ups of an address with many failed look-ups are batched. */
  failedAttempts?: FailedAttemptsOptions;
  /**
   * Peppers: secrets outside the database, which are part of each stored digest. Default: none.
   * Then keys are stored as their SHA-256.
   */
  pepper?: PepperOptions | null;
  /** Rules for all keys, whoever makes them: lifetimes, active keys of an owner, unused keys. */
  policy?: PolicyOptions;
}

/** `ApiKeyOptions` with `dataSource`, which is needed before the other options are computed. */
export interface ApiKeyRootOptions extends ApiKeyOptions {
  /**
   * The TypeORM data source of the keys: an instance, or its name in `TypeOrmModule`. Default: the
   * unnamed data source.
   */
  dataSource?: DataSource | string;
}

/** The options at the top level, which have no section. */
type PlainOptions = Pick<
  ApiKeyOptions,
  'prefix' | 'acceptedPrefixes' | 'hexEnvironment' | 'format' | 'loadUser' | 'strict' | 'realm' | 'headerName'
>;

/** The options after defaults and checks, frozen, with their sections. */
export interface ResolvedApiKeyOptions extends Readonly<Required<PlainOptions>> {
  readonly scopes: Readonly<Record<string, string>> | null;
  readonly https: ResolvedHttpsOptions;
  readonly cache: ResolvedCacheOptions;
  readonly usage: ResolvedUsageOptions;
  readonly audit: ResolvedAuditOptions;
  readonly rateLimit: ResolvedRateLimitOptions;
  readonly failedAttempts: ResolvedFailedAttemptsOptions;
  readonly pepper: Pepper | null;
  readonly policy: ResolvedPolicyOptions;
}

export const API_KEY_OPTIONS = Symbol('API_KEY_OPTIONS');

const DEFAULTS: Required<PlainOptions> = {
  prefix: 'key',
  acceptedPrefixes: [],
  hexEnvironment: null,
  format: 'checksummed',
  loadUser: (userId: string) => ({ id: userId }),
  strict: false,
  realm: 'api',
  headerName: 'X-API-Key',
};

const REALM = /^[\x20\x21\x23-\x5b\x5d-\x7e]{1,255}$/;
const HEADER_NAME = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,255}$/;

const CHECKS: Checks<ApiKeyOptions> = {
  prefix: checkPrefix,
  format: oneOf('checksummed', 'hex'),
  scopes: checkCatalogue,
  loadUser: rule(
    (value) => typeof value === 'function',
    'a function from the userId to the user, or to null if there is none',
  ),
  strict: rule((value) => typeof value === 'boolean' || value === 'scopes', 'true, false or "scopes"'),
  realm: rule(
    (value) => typeof value === 'string' && REALM.test(value),
    'printable ASCII without quotation marks and backslashes',
  ),
  headerName: rule(isOtherHeader, 'the name of an HTTP header other than Authorization'),
  https: checkHttps,
  cache: checkCache,
  usage: checkUsage,
  audit: checkAudit,
  rateLimit: checkRateLimit,
  failedAttempts: checkFailedAttempts,
  pepper: checkPepper,
  policy: checkPolicy,
  acceptedPrefixes: checkAcceptedPrefixes,
  hexEnvironment: checkHexEnvironment,
};

/**
 * Fills in the defaults field by field, checks the options and freezes them.
 * @throws Error that names each invalid option and the values it accepts, without the given value
 */
export function resolveOptions(options: ApiKeyOptions = {}): ResolvedApiKeyOptions {
  if (!isPlainObject(options)) throw new Error('ApiKeyModule: the options must be a plain object');
  const problems = Object.entries(options).flatMap(([name, value]) => problemsOfOption(name, value));
  if (problems.length === 0)
    problems.push(...problemsOfPrefixes(options), ...problemsOfUnused(options.policy, options.usage));
  if (problems.length > 0) throw new Error(`ApiKeyModule: ${problems.join('; ')}`);
  const { prefix, acceptedPrefixes, hexEnvironment, format, loadUser, strict, realm, headerName, scopes } =
    options;
  const plain = { prefix, acceptedPrefixes, hexEnvironment, format, loadUser, strict, realm, headerName };
  return Object.freeze({
    ...frozenPrefixes(withDefaults(DEFAULTS, plain)),
    scopes: scopes ? Object.freeze({ ...scopes }) : null,
    https: resolveHttps(options.https),
    cache: resolveCache(options.cache),
    usage: resolveUsage(options.usage),
    audit: resolveAudit(options.audit),
    rateLimit: resolveRateLimit(options.rateLimit),
    failedAttempts: resolveFailedAttempts(options.failedAttempts),
    pepper: resolvePepper(options.pepper ?? null),
    policy: resolvePolicy(options.policy),
  });
}

/** The scopes that may be used; null: any scope. */
export function catalogueOf({ scopes }: Pick<ResolvedApiKeyOptions, 'scopes'>): readonly string[] | null {
  return scopes && Object.keys(scopes);
}

function problemsOfOption(name: string, value: unknown): readonly string[] {
  if (name === 'dataSource') return [];
  const newName = newNameOf(name, value);
  if (newName !== undefined) return [`option "${name}" is now ${newName}`];
  return Object.hasOwn(CHECKS, name)
    ? problemsOf(CHECKS, name, value)
    : [unknownOption(name, 'the options', [...Object.keys(CHECKS), 'dataSource'])];
}

function isOtherHeader(value: unknown): boolean {
  return typeof value === 'string' && HEADER_NAME.test(value) && value.toLowerCase() !== 'authorization';
}
