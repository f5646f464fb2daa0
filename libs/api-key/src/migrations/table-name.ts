import type { QueryRunner } from 'typeorm';
import { quoteName } from '../sql-name';

/** The table of keys, quoted, in the schema of the data source where it names one. */
export function tableOf(runner: QueryRunner): string {
  return quoted(runner, 'api_keys');
}

/** The table of the trail, beside that of the keys. */
export function eventTableOf(runner: QueryRunner): string {
  return quoted(runner, 'api_key_events');
}

/** Anything else of ours in the same schema. */
export function besideTable(runner: QueryRunner, name: string): string {
  return quoted(runner, name);
}

function quoted({ connection }: QueryRunner, name: string): string {
  const { schema } = connection.options as { schema?: string };
  return quoteName(schema ? `${schema}.${name}` : name);
}
