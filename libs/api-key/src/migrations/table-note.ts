import type { DataSource } from 'typeorm';
import { Database } from '../database/database';
import { textOrNull } from '../database/fields';
import { quoteLiteral } from '../database/names';
import type { Session } from '../database/session';

/** How the table came to be ours, kept in its comment: `down` must know what it may take away. */
export type TableNote =
  | { readonly origin: 'created' }
  | { readonly origin: 'adopted'; readonly zoneless: readonly string[] };

const MARK = /\s*\[nestjs-api-key: (created|adopted)(?:, without time zone: ([a-z_, ]*))?\]$/;

/** Whether table `api_keys` was made by Rails and adopted by the migration of this package. */
export async function adoptedFromRails(dataSource: DataSource): Promise<boolean> {
  const note = await new Database(dataSource).read((session) => readNote(session, session.tables.keys));
  return note?.origin === 'adopted';
}

/** The note on a table, or null where there is none. */
export async function readNote(session: Session, table: string): Promise<TableNote | null> {
  const match = MARK.exec(await readComment(session, table));
  if (!match) return null;
  if (match[1] === 'created') return { origin: 'created' };
  return { origin: 'adopted', zoneless: (match[2] ?? '').split(', ').filter(Boolean) };
}

/** Writes the note behind a comment that the table may have. */
export async function writeNote(session: Session, table: string, note: TableNote): Promise<void> {
  const comment = await readComment(session, table);
  await writeComment(session, table, `${comment} ${mark(note)}`.trim());
}

/** Gives the table its own comment back. */
export async function eraseNote(session: Session, table: string): Promise<void> {
  await writeComment(session, table, (await readComment(session, table)).replace(MARK, ''));
}

function mark(note: TableNote): string {
  if (note.origin === 'created') return '[nestjs-api-key: created]';
  const columns = note.zoneless.length > 0 ? `, without time zone: ${note.zoneless.join(', ')}` : '';
  return `[nestjs-api-key: adopted${columns}]`;
}

async function readComment(session: Session, table: string): Promise<string> {
  const row = await session.row(`SELECT obj_description($1::regclass, 'pg_class') AS comment`, [table]);
  return textOrNull(row, 'comment') ?? '';
}

async function writeComment(session: Session, table: string, comment: string): Promise<void> {
  await session.run(`COMMENT ON TABLE ${table} IS ${comment === '' ? 'NULL' : quoteLiteral(comment)}`);
}
