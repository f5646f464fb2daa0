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
import { DigestWriter } from './digest-writer';
import { type AttemptWatch, isInvalid, KeyJudge, MALFORMED } from './key-verifier';

const OLD_PEPPER = createSecretKey(Buffer.alloc(32, 1));
const NEW_PEPPER = createSecretKey(Buffer.alloc(32, 2));

let database: string;
let dataSource: DataSource;
let verification: Verification;
let watched: { request: object; isRefused: boolean }[];
let noted: unknown[][];

beforeAll(() => Logger.overrideLogger(false));

beforeEach(async () => {
  database = await createMigratedDatabase();
  dataSource = await keysDataSource(database);
  const options = resolveOptions({ cache: { leaseMs: 60_000, lookUpTimeoutMs: 60_000 } });
  const door = new Database(dataSource);
  verification = new Verification(door, new KeyStore(door, options.cache.lookUpTimeoutMs), options.cache);
  await verification.start();
  await until(() => verification.status.leaseHeld);
  [watched, noted] = [[], []];
});

afterEach(async () => {
  await verification.onApplicationShutdown();
  if (dataSource.isInitialized) await dataSource.destroy();
});

/** Counts as a watch does. */
const WATCH: AttemptWatch = {
  async watch(request, look, isRefused) {
    const found = await look('alone');
    watched.push({ request, isRefused: isRefused(found) });
    return found;
  },
};

function judge(
  key: unknown,
  { peppers = UNPEPPERED, format = 'checksummed' as const, request = null } = {} as {
    peppers?: Peppers;
    format?: 'checksummed' | 'hex';
    request?: object | null;
  },
) {
  const writer = new DigestWriter(new Database(dataSource));
  jest.spyOn(writer, 'note').mockImplementation((...rewrite) => void noted.push(rewrite));
  return new KeyJudge(new KeyDigests(peppers), verification, WATCH, writer, { format }).judge(key, request);
}

/** Stores a key, under its plain SHA-256 unless a digest is given. */
async function store(sets = '', digestOf = digestKey): Promise<string> {
  const key = mintKey('checksummed', 'test');
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
])('%s is malformed, without I/O', (_, key) => {
  expect(judge(key)).toBe(MALFORMED);
  expect(isInvalid(MALFORMED)).toBe(true);
});

it('a live key is looked up once, then judged at once', async () => {
  const key = await store();
  const first = judge(key);
  expect(first).toBeInstanceOf(Promise);
  const apiKey = await first;
  expect(apiKey).toBeInstanceOf(ApiKey);
  expect(isInvalid(apiKey)).toBe(false);
  expect(judge(key)).toBe(apiKey);
});

it('the hex form is a key where the format is hex', async () => {
  const key = mintKey('hex', '');
  expect(await judge(key, { format: 'hex' })).toMatchObject({ reason: 'unknown' });
});

it('an unknown key is told masked, and so it is once that is remembered', async () => {
  const key = mintKey('checksummed', 'test');
  const told = { reason: 'unknown', apiKey: null, masked: masked(key) };
  expect(await judge(key)).toEqual(told);
  expect(judge(key)).toEqual(told);
});

it.each([
  ['revoked', 'revoked_at = now()'],
  ['revoked', "revoked_at = now(), expires_at = now() - interval '1 s'"],
  ['expired', "expires_at = now() - interval '1 s'"],
])('a key that is %s is told with its row: %s', async (reason, sets) => {
  const key = await store(sets);
  const found = await judge(key);
  expect(found).toEqual({ reason, apiKey: expect.any(ApiKey), masked: masked(key) });
});

it('a look-up for a request is watched, and counts where it finds no live key', async () => {
  const request = {};
  const [live, unknown, expired] = [
    await store(),
    mintKey('checksummed', 'test'),
    await store("expires_at = now() - interval '1 s' WHERE id = (SELECT max(id) FROM api_keys)"),
  ];
  for (const key of [live, unknown, expired]) await judge(key, { request });
  expect(watched).toEqual([
    { request, isRefused: false },
    { request, isRefused: true },
    { request, isRefused: true },
  ]);
  await until(() => judge(live) instanceof ApiKey);
  judge(live, { request });
  await judge(mintKey('checksummed', 'test'));
  expect(watched).toHaveLength(3);
});

describe('a key that is stored under another pepper', () => {
  const under = (pepper: typeof OLD_PEPPER) => (key: string) => digestKey(key, pepper);

  it('is noted to be rewritten under the newest, also when it is remembered', async () => {
    const key = await store('', under(OLD_PEPPER));
    const peppers = { known: [NEW_PEPPER, OLD_PEPPER], upcoming: null };
    const { id } = (await judge(key, { peppers })) as ApiKey;
    judge(key, { peppers });
    expect(noted).toEqual(Array(2).fill([id, under(OLD_PEPPER)(key), under(NEW_PEPPER)(key)]));
  });

  it('is not where that is the newest, or the one to come', async () => {
    await judge(await store('', under(NEW_PEPPER)), {
      peppers: { known: [NEW_PEPPER, OLD_PEPPER], upcoming: null },
    });
    await judge(await store('', under(NEW_PEPPER)), {
      peppers: { known: [OLD_PEPPER], upcoming: NEW_PEPPER },
    });
    expect(noted).toEqual([]);
  });
});

it('where the database does not answer, that is no verdict', async () => {
  await dataSource.destroy();
  await expect(judge(mintKey('checksummed', 'test'))).rejects.toMatchObject({
    code: 'KEY_STORE_UNAVAILABLE',
  });
});
