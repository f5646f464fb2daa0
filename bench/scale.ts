import { createHash } from 'node:crypto';
import { NestFactory } from '@nestjs/core';
import { ApiKeyService } from 'nestjs-api-key';
import { Client } from 'pg';
import { ourContext } from './calls/ours';
import { createUsers } from './keys';
import { type Estimate, estimateOf, percentile } from './statistics';
import { markdown } from './table';
import { oursOfSize } from './variants/ours';

const SIZES = [10_000, 1_000_000, 10_000_000] as const;
const ROUNDS = 15;
const LOOK_UPS = 1_000;
const WARM_LOOK_UPS = 20_000;
const PAGES = 20;
const BATCH = 100_000;
const OWNERS = 100;

/** Results for a table with `keys` keys. Times are medians over the rounds, in microseconds. */
export interface Scale {
  readonly keys: number;
  readonly coldMicros: Estimate;
  readonly warmMicros: Estimate;
  readonly pageMicros: Estimate;
  readonly tableBytes: number;
  readonly indexBytes: number;
}

/**
 * A database with `keys` keys, and two services on this database: without a cache and with a cache.
 */
interface Site {
  readonly keys: number;
  readonly url: string;
  readonly cold: ApiKeyService;
  readonly warm: ApiKeyService;
  readonly owner: string;
  close(): Promise<void>;
}

/**
 * Measures look-ups and lists in tables of different sizes. Each size has its own database on one
 * server. Every round measures all sizes.
 */
export async function measureScale(serverUrl: string, report: (line: string) => void): Promise<Scale[]> {
  const sites: Site[] = [];
  try {
    for (const keys of SIZES) {
      report(`Making ${keys.toLocaleString('en')} keys ...`);
      sites.push(await createSite(serverUrl, keys));
    }
    const rounds = sites.map(() => [] as { cold: number; warm: number; page: number }[]);
    for (let round = 0; round <= ROUNDS; round++) {
      report(round === 0 ? 'Warming up ...' : `Round ${round} of ${ROUNDS} ...`);
      for (const [i, site] of sites.entries()) {
        const times = await measureSite(site);
        if (round > 0) rounds[i]?.push(times);
      }
    }
    return await Promise.all(
      sites.map(async ({ keys, url }, i) => ({
        keys,
        coldMicros: estimateOf(rounds[i]?.map(({ cold }) => cold) ?? []),
        warmMicros: estimateOf(rounds[i]?.map(({ warm }) => warm) ?? []),
        pageMicros: estimateOf(rounds[i]?.map(({ page }) => page) ?? []),
        ...(await sizesOf(url)),
      })),
    );
  } finally {
    await Promise.all(sites.map((site) => site.close()));
  }
}

/** Formats the results as a Markdown table. */
export function scaleTable(scales: readonly Scale[]): string {
  const cell = ({ median, low, high }: Estimate) =>
    `${median.toFixed(1)} (${low.toFixed(1)}–${high.toFixed(1)})`;
  const megabytes = (bytes: number) => (bytes / 1_000_000).toFixed(0);
  const base = scales[0]?.coldMicros.median ?? Number.NaN;
  return markdown(
    [
      ['keys', 'cold µs', 'cold / first', 'warm µs', 'page of 100 µs', 'table MB', 'indexes MB'],
      ...scales.map((scale) => [
        scale.keys.toLocaleString('en'),
        cell(scale.coldMicros),
        (scale.coldMicros.median / base).toFixed(2),
        cell(scale.warmMicros),
        cell(scale.pageMicros),
        megabytes(scale.tableBytes),
        megabytes(scale.indexBytes),
      ]),
    ],
    0,
  );
}

async function measureSite({
  keys,
  cold,
  warm,
  owner,
}: Site): Promise<{ cold: number; warm: number; page: number }> {
  const some = Array.from({ length: LOOK_UPS }, () => rawKey(Math.floor(Math.random() * keys)));
  return {
    cold: await eachMicros(LOOK_UPS, (i) => verified(cold, some[i])),
    warm: await eachMicros(WARM_LOOK_UPS, (i) => verified(warm, rawKey(i % 100))),
    page: await eachMicros(PAGES, () => cold.list({ userId: owner, limit: 100 })),
  };
}

/** Runs calls one after the other. Returns the median time of one call, in microseconds. */
async function eachMicros(times: number, call: (i: number) => Promise<unknown>): Promise<number> {
  const micros: number[] = [];
  for (let i = 0; i < times; i++) {
    const start = performance.now();
    await call(i);
    micros.push((performance.now() - start) * 1_000);
  }
  return percentile(micros, 0.5);
}

async function verified(service: ApiKeyService, key = ''): Promise<void> {
  if (!(await service.verify(key)).ok) throw new Error('A valid key was refused');
}

async function createSite(serverUrl: string, keys: number): Promise<Site> {
  const url = await createDatabase(serverUrl, `keys_${keys}`);
  const owners = await createUsers(url, OWNERS);
  await query(url, (client) => fill(client, keys, owners));
  const contexts = await Promise.all([
    NestFactory.createApplicationContext(oursOfSize(url, 0), { logger: ['error'] }),
    ourContext(oursOfSize(url, 10_000)),
  ]);
  const [cold, warm] = contexts.map((context) => context.get(ApiKeyService));
  if (!cold || !warm) throw new Error('There is no service');
  const close = async () => void (await Promise.all(contexts.map((context) => context.close())));
  return { keys, url, cold, warm, owner: owners[0] ?? '', close };
}

/**
 * Fills the table with keys. Drops the indexes and creates them again after the inserts. With
 * indexes in place, the inserts take an hour.
 */
async function fill(client: Client, keys: number, owners: readonly string[]): Promise<void> {
  const { rows: indexes } = await client.query<{ name: string; definition: string }>(
    `SELECT indexname AS name, indexdef AS definition FROM pg_indexes WHERE tablename = 'api_keys' AND indexname <> 'api_keys_pkey'`,
  );
  await client.query(`SET synchronous_commit = off; SET maintenance_work_mem = '512MB'`);
  for (const { name } of indexes) await client.query(`DROP INDEX ${name}`);
  for (let from = 0; from < keys; from += BATCH)
    await client.query(INSERT, [from, Math.min(keys, from + BATCH) - 1, owners]);
  for (const { definition } of indexes) await client.query(definition);
  await client.query('VACUUM ANALYZE api_keys');
}

/**
 * Inserts keys by number. Each raw key is the hash of its number, so no raw key has to be stored.
 */
const INSERT = `INSERT INTO api_keys (user_id, name, key_digest, key_prefix, key_suffix, scopes, expires_at, created_at, updated_at)
  SELECT ($3::bigint[])[1 + n % ${OWNERS}], 'bench', encode(sha256(raw::bytea), 'hex'), left(raw, 8), right(raw, 4), '{orders:read}', now() + interval '1 day', now(), now()
  FROM (SELECT n, encode(sha256(n::text::bytea), 'hex') AS raw FROM generate_series($1::int, $2::int) n) AS numbered`;

function rawKey(n: number): string {
  return createHash('sha256').update(String(n)).digest('hex');
}

async function createDatabase(serverUrl: string, name: string): Promise<string> {
  await query(serverUrl, (client) => client.query(`CREATE DATABASE ${name}`));
  const url = new URL(serverUrl);
  url.pathname = `/${name}`;
  return url.href;
}

async function sizesOf(url: string): Promise<{ tableBytes: number; indexBytes: number }> {
  const { rows } = await query(url, (client) =>
    client.query(
      `SELECT pg_table_size('api_keys')::float8 AS "tableBytes", pg_indexes_size('api_keys')::float8 AS "indexBytes"`,
    ),
  );
  return rows[0];
}

async function query<T>(url: string, use: (client: Client) => Promise<T>): Promise<T> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    return await use(client);
  } finally {
    await client.end();
  }
}
