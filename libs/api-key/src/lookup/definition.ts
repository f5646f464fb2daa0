/**
 * Returns an SQL expression for the version of the table of keys: its columns, triggers and
 * partitions. The version changes if somebody adds, detaches or truncates a partition, rewrites or
 * renames a column, or disables a trigger. The version changes even if the trigger is enabled again
 * in the same transaction. Each of these operations can change rows without a notification. `xmin`
 * is the transaction that wrote a row of the catalog, so the sum of all `xmin` grows with each
 * change. VACUUM and ANALYZE do not change `xmin`.
 * @param table SQL expression for the oid of the table
 */
export function readDefinition(table: string): string {
  return `(WITH RECURSIVE part AS (
      SELECT i.inhrelid AS oid FROM pg_inherits i WHERE i.inhparent = ${table}
      UNION SELECT i.inhrelid FROM pg_inherits i JOIN part ON i.inhparent = part.oid
    ), written AS (
      SELECT xmin::text::bigint AS by FROM pg_attribute WHERE attrelid = ${table} AND attnum > 0
      UNION ALL SELECT xmin::text::bigint FROM pg_trigger WHERE tgrelid = ${table}
      UNION ALL SELECT c.xmin::text::bigint FROM part JOIN pg_class c USING (oid)
      UNION ALL SELECT t.xmin::text::bigint FROM part JOIN pg_trigger t ON t.tgrelid = part.oid
    )
    SELECT concat_ws(' ', count(*), sum(by), (SELECT sum(oid::bigint) FROM part)) FROM written)`;
}
