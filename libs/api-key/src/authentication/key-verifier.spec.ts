import { createSecretKey } from 'node:crypto';
import { Logger } from '@nestjs/common';
import type { DataSource } from 'typeorm';
import { keysDataSource } from '../../../../test/support/data-source';
import { createMigratedDatabase, createUser, sql } from '../../../../test/support/database';
import { until } from '../../../../test/support/until';
import { digestKey, KeyDigests, type Peppers } from '../credential/digest';
import { MAX_KEY_LENGTH, mintKey, visiblePrefix, visibleSuffix } from '../credential/format';
import { maskKey } from '../credential/mask';
import { Database } from '../database/database';
import { KeyStore } from '../lookup/key-store';
import { Verification } from '../lookup/verification';
import { ApiKey } from '../model/api-key.entity';
import { resolveOptions } from '../options/api-key.options';
import { UNPEPPERED } from '../options/pepper';
import { keyFormsOf } from '../options/prefixes';
import { DigestWriter } from './digest-writer';
import { FailedAttempts } from './failed-attempts';
import { isInvalid, KeyVerifier, MALFORMED } from './key-verifier';

const OLD_PEPPER = createSecretKey(Buffer.alloc(32, 1));
const NEW_PEPPER = createSecretKey(Buffer.alloc(32, 2));

let database: string;
let dataSource: DataSource;
let verification: Verification;
let watched: { address: string | null; isRefused: boolean }[];
let noted: unknown[][];

beforeAll(() => Logger.overrideLogger(false));

beforeEach(async () => {
  database = await createMigratedDatabase();
  dataSource = await keysDataSource(database);
  await startVerification();
  [watched, noted] = [[], []];
});

async function startVerification(): Promise<void> {
  const options = resolveOptions({ cache: { leaseMs: 60_000, lookUpTimeoutMs: 60_000 } });
  const door = new Database(dataSource);
  verification = new Verification(door, new KeyStore(door, options), options);
  await verification.start();
  await until(() => verification.status.leaseHeld);
}

afterEach(async () => {
  await verification.onApplicationShutdown();
  if (dataSource.isInitialized) await dataSource.destroy();
});

/** Notes how look-ups are counted. */
class Watch extends FailedAttempts {
  override async watch<Found>(
    address: string | null,
    look: (way: 'alone') => Promise<Found>,
    isRefused: (found: Found) => boolean,
  ): Promise<Found> {
    const found = await look('alone');
    watched.push({ address, isRefused: isRefused(found) });
    return found;
  }
}

interface Settings {
  readonly peppers?: Peppers;
  readonly format?: 'checksummed' | 'hex';
  readonly from?: { readonly address: string | null } | null;
}

function verifierWith({ peppers = UNPEPPERED, format = 'checksummed' }: Settings = {}): KeyVerifier {
  const writer = new DigestWriter(new Database(dataSource));
  jest.spyOn(writer, 'note').mockImplementation((...rewrite) => void noted.push(rewrite));
  const attempts = new Watch({ failedAttempts: { limit: null, windowSeconds: 60, maxAddresses: 10 } });
  return new KeyVerifier(new KeyDigests(peppers), verification, attempts, writer, formsOf(format));
}

const formsOf = (format: 'checksummed' | 'hex') =>
  keyFormsOf(
    resolveOptions({
      format,
      prefix: { live: 'live', test: 'test' },
      acceptedPrefixes: { test: ['old_test'] },
    }),
  );

const verify = (key: unknown, settings: Settings = {}) =>
  verifierWith(settings).verify(key, settings.from ?? null);

const recall = (key: unknown, settings: Settings = {}) => verifierWith(settings).recall(key);

/** Stores a key, under its plain SHA-256 unless a digest is given. */
async function store(sets = '', digestOf = digestKey, prefix = 'test'): Promise<string> {
  const key = mintKey('checksummed', prefix);
  await sql(
    database,
    `INSERT INTO api_keys (user_id, name, key_digest, key_prefix) VALUES ($1, 'ci', $2, 'p')`,
    [await createUser(database), digestOf(key)],
  );
  if (sets) await sql(database, `UPDATE api_keys SET ${sets}`);
  return key;
}

const masked = (key: string) => maskKey(visiblePrefix(key), visibleSuffix(key));

it.each([
  ['nothing', undefined],
  ['null', null],
  ['a number', 7],
  ['an object that turns into text', { toString: () => mintKey('checksummed', 'test') }],
  ['empty text', ''],
  ['text', 'key'],
  ['a key of the other form', mintKey('hex', '')],
  ['a text that is too long', `${'a'.repeat(MAX_KEY_LENGTH)}_`],
])('%s is malformed, without I/O', async (_, key) => {
  const find = jest.spyOn(verification.keys, 'find');
  expect(recall(key)).toBeUndefined();
  expect(await verify(key)).toBe(MALFORMED);
  expect(find).not.toHaveBeenCalled();
  expect(isInvalid(MALFORMED)).toBe(true);
});

it.each([
  'other',
  'old',
  'Test',
  'tes',
  'testt',
  'live_test',
  'old_test_test',
])('a well-formed key with the prefix %s is refused without I/O, and reported masked', async (prefix) => {
  const find = jest.spyOn(verification.keys, 'find');
  const key = await store('', digestKey, prefix);
  expect(recall(key)).toBeUndefined();
  expect(await verify(key)).toEqual({ reason: 'prefix', apiKey: null, masked: masked(key) });
  expect(find).not.toHaveBeenCalled();
});

it.each([
  ['test', 'test'],
  ['live', 'live'],
  ['old_test', 'test'],
])('a key with the prefix %s is of the environment %s, whatever column key_prefix has', async (prefix, environment) => {
  const key = await store("key_prefix = 'live_abcd'", digestKey, prefix);
  const found = await Promise.all([verify(key), verify(key)]);
  expect(found).toEqual(Array(2).fill(expect.objectContaining({ environment })));
  // The notification of the UPDATE may arrive late, and evicts the key.
  await until(async () => (await verify(key)) !== null && recall(key) !== undefined);
  expect(recall(key)).toMatchObject({ environment });
});

it('a hex key has no environment', async () => {
  const key = mintKey('hex', '');
  await sql(
    database,
    `INSERT INTO api_keys (user_id, name, key_digest, key_prefix) VALUES ($1, 'ci', $2, 'live_abcd')`,
    [await createUser(database), digestKey(key)],
  );
  expect(await verify(key, { format: 'hex' })).toMatchObject({ environment: null });
});

it('a valid key is looked up once, and then verified from the cache without a promise', async () => {
  const key = await store();
  expect(recall(key)).toBeUndefined();
  const apiKey = await verify(key);
  expect(apiKey).toBeInstanceOf(ApiKey);
  expect(isInvalid(apiKey)).toBe(false);
  expect(recall(key)).toBe(apiKey);
  const find = jest.spyOn(verification.keys, 'find');
  expect(await verify(key)).toBe(apiKey);
  expect(find).not.toHaveBeenCalled();
});

it('only valid keys are verified from the cache without a promise', async () => {
  const unknown = mintKey('checksummed', 'test');
  const [revoked, disabled] = [await store('revoked_at = now()'), await store('disabled_at = now()')];
  for (const key of [unknown, revoked, disabled]) {
    await verify(key);
    expect(recall(key)).toBeUndefined();
  }
});

it('a request counts once in the hit rate, whether the cached key is accepted or refused', async () => {
  const [unknown, live] = [mintKey('checksummed', 'test'), await store()];
  await verification.onApplicationShutdown();
  await startVerification(); // listens anew: the insertion of the key cannot empty the cache later
  for (const key of [unknown, live, unknown, live]) recall(key) ?? (await verify(key));
  expect(verification.status.hitRate).toBe(0.5);
});

it('a key in hex form is looked up if the format is hex', async () => {
  const key = mintKey('hex', '');
  expect(await verify(key, { format: 'hex' })).toMatchObject({ reason: 'unknown' });
});

it('an unknown key is reported masked, also if that result is cached', async () => {
  const key = mintKey('checksummed', 'test');
  const told = { reason: 'unknown', apiKey: null, masked: masked(key) };
  expect(await verify(key)).toEqual(told);
  expect(await verify(key)).toEqual(told);
});

it.each([
  ['revoked', 'revoked_at = now()'],
  ['revoked', "revoked_at = now(), expires_at = now() - interval '1 s'"],
  ['revoked', 'revoked_at = now(), disabled_at = now()'],
  ['disabled', 'disabled_at = now()'],
  ['disabled', "disabled_at = now(), expires_at = now() - interval '1 s'"],
  ['expired', "expires_at = now() - interval '1 s'"],
])('a key that is %s is refused together with its row: %s', async (reason, sets) => {
  const key = await store(sets);
  const found = await verify(key);
  expect(found).toEqual({ reason, apiKey: expect.any(ApiKey), masked: masked(key) });
});

it('a look-up for a request counts as a failed attempt if it finds no valid key', async () => {
  const from = { address: '203.0.113.7' };
  const { address } = from;
  const [live, unknown, expired] = [
    await store(),
    mintKey('checksummed', 'test'),
    await store("expires_at = now() - interval '1 s' WHERE id = (SELECT max(id) FROM api_keys)"),
  ];
  for (const key of [live, unknown, expired]) await verify(key, { from });
  expect(watched).toEqual([
    { address, isRefused: false },
    { address, isRefused: true },
    { address, isRefused: true },
  ]);
  await verify(live, { from });
  await verify(mintKey('checksummed', 'test'));
  expect(watched).toHaveLength(3);
});

describe('a key that is stored under another pepper', () => {
  const under = (pepper: typeof OLD_PEPPER) => (key: string) => digestKey(key, pepper);

  it('is queued for a rewrite under the newest pepper, also on a cache hit', async () => {
    const key = await store('', under(OLD_PEPPER));
    const peppers: Peppers = { known: [NEW_PEPPER, OLD_PEPPER], upcoming: null };
    const { id } = (await verify(key, { peppers })) as ApiKey;
    recall(key, { peppers });
    expect(noted).toEqual(Array(2).fill([id, under(OLD_PEPPER)(key), under(NEW_PEPPER)(key)]));
  });

  it('is not queued for a rewrite if that pepper is the newest or the next one', async () => {
    await verify(await store('', under(NEW_PEPPER)), {
      peppers: { known: [NEW_PEPPER, OLD_PEPPER], upcoming: null },
    });
    await verify(await store('', under(NEW_PEPPER)), {
      peppers: { known: [OLD_PEPPER], upcoming: NEW_PEPPER },
    });
    expect(noted).toEqual([]);
  });
});

it('a database that does not answer is an error and not a refusal', async () => {
  await dataSource.destroy();
  await expect(verify(mintKey('checksummed', 'test'))).rejects.toMatchObject({
    code: 'KEY_STORE_UNAVAILABLE',
  });
});
