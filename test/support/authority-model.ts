import { BlockList } from 'node:net';
import { sql } from './database';

/** A rate limit. */
interface Rate {
  readonly limit: number;
  readonly windowSeconds: number;
}

interface Quota {
  readonly limit: number;
  readonly period: 'day' | 'month';
}

/** A row of a key as PostgreSQL stores it. The model never reads through the library. */
export interface Row {
  readonly id: string;
  readonly xmin: string;
  readonly scopes: readonly string[];
  readonly expires: number;
  readonly isRevoked: boolean;
  readonly isDisabled: boolean;
  /**
   * Id of the key that disabled this key. `null` if a person disabled this key, or if it is not
   * disabled.
   */
  readonly disabledBy: string | null;
  /** Whether the key is revoked or has expired (`expires`). */
  readonly isOver: boolean;
  readonly rate: Rate | null;
  readonly quota: Quota | null;
  readonly ips: readonly string[] | null;
  readonly ancestors: readonly string[];
  readonly shared: readonly {
    readonly id: string;
    readonly rateLimit: Rate | null;
    readonly quota: Quota | null;
  }[];
  readonly bucket: string;
  readonly replaces: string | null;
}

/** Rate limit of keys without their own rate limit in these tests. */
export const DEFAULT_RATE: Rate = { limit: 10, windowSeconds: 60 };

/**
 * SQL of the expiry of a key after it is enabled again. Enabling restores the saved expiry, unless
 * a statement has written another expiry while the key was disabled.
 */
const EXPIRES = `CASE WHEN revoked_at IS NULL AND expires_at = least(enabled_expires_at, date_trunc('second', disabled_at))
  THEN enabled_expires_at ELSE expires_at END`;

const COLUMNS = `id::text, xmin::text, scopes, coalesce(extract(epoch FROM ${EXPIRES}) * 1000, 'infinity')::float8 AS expires,
  revoked_at IS NOT NULL AS "isRevoked", revoked_at IS NOT NULL OR coalesce(${EXPIRES} <= clock_timestamp(), false) AS "isOver",
  disabled_at IS NOT NULL AS "isDisabled", disabled_by_id::text AS "disabledBy",
  CASE WHEN rate_limit IS NOT NULL THEN jsonb_build_object('limit', rate_limit, 'windowSeconds', rate_limit_window_seconds) END AS rate,
  CASE WHEN quota IS NOT NULL THEN jsonb_build_object('limit', quota, 'period', quota_period) END AS quota,
  allowed_ips::text[] AS ips, coalesce(ancestor_ids, '{}')::text[] AS ancestors, coalesce(shared_limits, '[]') AS shared,
  coalesce(bucket_id, id)::text AS bucket, replaces_id::text AS replaces`;

/** Returns all keys of an owner, by id. */
export async function rowsOf(database: string, userId: string): Promise<Map<string, Row>> {
  const rows = await sql<Row>(
    database,
    `SELECT ${COLUMNS} FROM api_keys WHERE user_id = $1 ORDER BY api_keys.id`,
    [userId],
  );
  return new Map(rows.map((row) => [row.id, row]));
}

/** Deletes a row with SQL and returns the state of the row before the deletion. */
export async function deleteRow(database: string, id: string): Promise<Row | undefined> {
  const [row] = await sql<Row>(database, `DELETE FROM api_keys WHERE id = $1 RETURNING ${COLUMNS}`, [id]);
  return row;
}

const SCOPES = ['a:x', 'a:y', 'b', 'c'];
const ADDRESSES = ['10.1.2.3', '10.2.0.1', '192.0.2.1'];
const TIMES = ['2098-01-01', '2099-01-01', '2999-01-01'].map((date) => Date.parse(date));
const WINDOWS = [1, 10, 59, 60, 61, 600, 3_600];

/**
 * Returns descriptions of the rights of a key that none of the other keys has. Empty if there are
 * no such rights.
 */
export function beyond(key: Row, others: readonly Row[]): string[] {
  const problems: string[] = [];
  for (const scope of SCOPES)
    for (const address of ADDRESSES)
      for (const time of TIMES)
        if (may(key, scope, address, time) && !others.some((other) => may(other, scope, address, time)))
          problems.push(`${scope} from ${address} in ${new Date(time).getUTCFullYear()}`);
  for (const seconds of WINDOWS) {
    const most = Math.max(...others.map((other) => rateIn(other, seconds)));
    if (rateIn(key, seconds) > most) problems.push(`${rateIn(key, seconds)} in ${seconds} s, of ${most}`);
  }
  for (const days of [1, 31]) {
    const most = Math.max(...others.map((other) => quotaIn(other, days)));
    if (quotaIn(key, days) > most) problems.push(`${quotaIn(key, days)} in ${days} days, of ${most}`);
  }
  return problems;
}

function may({ scopes, ips, expires }: Row, scope: string, address: string, time: number): boolean {
  const holds = scopes.some(
    (held) => held === '*' || held === scope || (held === 'a:*' && scope.startsWith('a:')),
  );
  return holds && expires > time && (ips === null || isAmong(address, ips));
}

function isAmong(address: string, blocks: readonly string[]): boolean {
  const list = new BlockList();
  for (const block of blocks) {
    const [network = '', bits = '32'] = block.split('/');
    list.addSubnet(network, Number(bits));
  }
  return list.check(address);
}

/** Returns the maximum number of requests of a key in any interval of this length. */
function rateIn({ rate, shared }: Row, seconds: number): number {
  const limits = [rate ?? DEFAULT_RATE, ...shared.flatMap(({ rateLimit }) => rateLimit ?? [])];
  return Math.min(...limits.map(({ limit, windowSeconds }) => limit * Math.ceil(seconds / windowSeconds)));
}

function quotaIn({ quota, shared }: Row, days: number): number {
  const quotas = [...(quota ? [quota] : []), ...shared.flatMap((one) => one.quota ?? [])];
  return Math.min(...quotas.map(({ limit, period }) => (period === 'day' ? limit * days : limit)));
}

/** Returns the ancestors that a new key must have: its makers and the ancestors of its makers. */
export function ancestorsOf(makers: readonly Row[]): string[] {
  const all = makers.flatMap(({ id, ancestors }) => [...ancestors, id]);
  const last = makers.at(-1)?.id;
  return [...new Set([...all.filter((id) => id !== last), ...all.slice(-1)])];
}

/**
 * Checks the shared limits of a key and returns the problems. A shared limit must be the limit of
 * an ancestor that uses the same bucket.
 */
export function sharesAmiss(key: Row, everyone: ReadonlyMap<string, Row>): string[] {
  const problems: string[] = [];
  const ancestors = new Set(key.ancestors.map((id) => everyone.get(id)?.bucket ?? id));
  ancestors.delete(key.bucket);
  for (const { id } of key.shared) if (!ancestors.has(id)) problems.push(`counts on ${id}, no ancestor`);
  for (const bucket of ancestors) {
    const chain = [...everyone.values()].filter((row) => row.bucket === bucket);
    const share = key.shared.find(({ id }) => id === bucket);
    const said = chain.map(({ rate, quota }) => JSON.stringify([rate, quota]));
    const has = share ? JSON.stringify([share.rateLimit, share.quota]) : '[null,null]';
    if (!said.includes(has)) problems.push(`counts ${has} on ${bucket}, which has ${said.join(' or ')}`);
  }
  return problems;
}
