const TIME = (column: string) => `pg_catalog.date_part('epoch', ${column})`;
/**
 * SQL of a number beyond the range of times in milliseconds, so that `infinity` and NULL can be
 * compared.
 */
const BOUND = "'1e15'::pg_catalog.float8";

/**
 * Returns SQL of the milliseconds until a key ends because nobody uses it. The value is 0 or less
 * if the key has ended. A key without a last use counts from its creation. If both times are
 * missing, the key has ended. GREATEST and LEAST ignore NULL.
 */
export function unusedMs(days: number): string {
  const last = `greatest(${TIME('last_used_at')}, ${TIME('created_at')})`;
  const seconds = `${last} OPERATOR(pg_catalog.+) '${days * 86_400}'::pg_catalog.float8
    OPERATOR(pg_catalog.-) ${TIME('pg_catalog.clock_timestamp()')}`;
  const bounded = `least(greatest((${seconds}) OPERATOR(pg_catalog.*) 1000, OPERATOR(pg_catalog.-) ${BOUND}), ${BOUND})`;
  return `pg_catalog.floor(${bounded})::bigint`;
}

/** Returns SQL that checks whether a key has ended because nobody used it. */
export function isUnused(days: number | null): string {
  return days === null ? 'false' : `(${unusedMs(days)} OPERATOR(pg_catalog.<=) 0)`;
}
