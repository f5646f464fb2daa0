import { Logger } from '@nestjs/common';
import { flag, textOrNull } from './fields';
import { foreignSchema, quoteIn } from './names';
import type { Session } from './session';

/**
 * Finds the schema of a table if the data source sets no schema. If the schema of the first
 * connection contains the table, this schema is used. Otherwise, the schema that the session finds
 * is used. A search path that somebody sets later in a session does not change the result.
 * @param first the schema in which the first connection creates tables, or null if that connection
 *   found no schema
 * @returns null if the table does not exist yet
 * @throws Error if the search path leads to another schema, which may belong to another tenant
 */
export async function schemaOf(
  session: Session,
  table: string,
  first: string | null,
): Promise<string | null> {
  const row = await session.row(
    `SELECT (to_regclass($2) IS NOT NULL)::text AS is_first,
       (SELECT s FROM unnest(current_schemas(false)) WITH ORDINALITY AS path (s, place)
         WHERE s <> 'pg_catalog' AND s !~ '^pg_temp_' ORDER BY place LIMIT 1) AS own,
       (SELECT nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = to_regclass($1)) AS found`,
    [quoteIn(null, table), first && quoteIn(first, table)],
  );
  const [found, own] = [textOrNull(row, 'found'), textOrNull(row, 'own')];
  if (first !== null && flag(row, 'is_first')) {
    if (found !== null && found !== first) warnOfAnother(first, found);
    return first;
  }
  if (found !== null && found !== own) throw new Error(foreignSchema(found, own));
  return found;
}

function warnOfAnother(first: string, found: string): void {
  new Logger('ApiKeyModule').warn(
    `The first connection of the data source finds table api_keys in schema ${first}, and a later session in ${found}: ` +
      `${first} is used. Set "schema" in the options of the data source to the intended schema.`,
  );
}
