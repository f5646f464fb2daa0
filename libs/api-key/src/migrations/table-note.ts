import type { DataSource, QueryRunner } from 'typeorm';
import { ApiKey } from '../api-key.entity';
import { quoteName } from '../database/names';
import { quoteLiteral } from './sql';

/** How the table came to be ours, kept in its comment: `down` must know what it may take away. */
export type TableNote =
  | { readonly origin: 'created' }
  | { readonly origin: 'adopted'; readonly zoneless: readonly string[] };

const MARK = /\s*\[nestjs-api-key: (created|adopted)(?:, without time zone: ([a-z_, ]*))?\]$/;

/** Whether table `api_keys` was made by Rails and adopted by the migration of this package. */
export async function adoptedFromRails(dataSource: DataSource): Promise<boolean> {
  const runner = dataSource.createQueryRunner('master');
  try {
    const note = await readNote(runner, quoteName(dataSource.getMetadata(ApiKey).tablePath));
    return note?.origin === 'adopted';
  } finally {
    await runner.release();
  }
}

/** The note on a table, or null where there is none. */
export async function readNote(runner: QueryRunner, table: string): Promise<TableNote | null> {
  const match = MARK.exec(await readComment(runner, table));
  if (!match) return null;
  if (match[1] === 'created') return { origin: 'created' };
  return { origin: 'adopted', zoneless: (match[2] ?? '').split(', ').filter(Boolean) };
}

/** Writes the note behind a comment that the table may have. */
export async function writeNote(runner: QueryRunner, table: string, note: TableNote): Promise<void> {
  const comment = await readComment(runner, table);
  await writeComment(runner, table, `${comment} ${mark(note)}`.trim());
}

/** Gives the table its own comment back. */
export async function eraseNote(runner: QueryRunner, table: string): Promise<void> {
  await writeComment(runner, table, (await readComment(runner, table)).replace(MARK, ''));
}

function mark(note: TableNote): string {
  if (note.origin === 'created') return '[nestjs-api-key: created]';
  const columns = note.zoneless.length > 0 ? `, without time zone: ${note.zoneless.join(', ')}` : '';
  return `[nestjs-api-key: adopted${columns}]`;
}

async function readComment(runner: QueryRunner, table: string): Promise<string> {
  const [row] = await runner.query(`SELECT obj_description($1::regclass, 'pg_class') AS comment`, [table]);
  return row?.comment ?? '';
}

async function writeComment(runner: QueryRunner, table: string, comment: string): Promise<void> {
  await runner.query(`COMMENT ON TABLE ${table} IS ${comment === '' ? 'NULL' : quoteLiteral(comment)}`);
}
