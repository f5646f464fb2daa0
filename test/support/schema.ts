import { sql } from './database';

/**
 * Describes every table of the schema `public` in lines of text from the catalogue of PostgreSQL.
 * The lines contain columns with types, precisions and defaults, constraints, indexes, triggers,
 * comments, owners and privileges. The migration tables of TypeORM are omitted.
 */
export async function schemaOf(url: string): Promise<string[]> {
  const rows = await sql<{ line: string }>(
    url,
    `WITH tables AS (SELECT c.oid AS relid, c.relname, c.relkind, c.relowner, c.relacl, c.reloptions FROM pg_class c
       WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'S', 'v') AND c.relname !~ '^(other_)?migrations')
     SELECT concat_ws(' ', relname, relkind, relowner::regrole, relacl, reloptions, obj_description(relid, 'pg_class')) AS line FROM tables
     UNION ALL
     SELECT concat_ws(' ', relname, attname, format_type(atttypid, atttypmod), attnotnull, attidentity, attgenerated, pg_get_expr(adbin, adrelid),
       col_description(relid, attnum), attstorage)
     FROM tables JOIN pg_attribute ON attrelid = tables.relid LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
     WHERE attnum > 0 AND NOT attisdropped
     UNION ALL SELECT concat_ws(' ', relname, conname, pg_get_constraintdef(pg_constraint.oid)) FROM tables JOIN pg_constraint ON conrelid = tables.relid
     UNION ALL SELECT concat_ws(' ', relname, pg_get_indexdef(indexrelid)) FROM tables JOIN pg_index ON indrelid = tables.relid
     UNION ALL SELECT concat_ws(' ', relname, pg_get_triggerdef(pg_trigger.oid)) FROM tables JOIN pg_trigger ON tgrelid = tables.relid AND NOT tgisinternal
     ORDER BY line`,
  );
  return rows.map(({ line }) => line);
}
