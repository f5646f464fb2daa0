import type { DataSource } from 'typeorm';
import { Database } from '../database/database';
import { textOrNull } from '../database/fields';
import { quoteLiteral } from '../database/names';
import type { Session } from '../database/session';

/**
 * Note of whether the library created or adopted the table of keys. The note is stored in the
 * comment of the table, because the method `down` must know what it may drop.
 */
export type TableNote =
  | {
      readonly origin: 'created';
      /** Whether the users table did not exist yet, so that the foreign key is missing. */
      readonly isReferencePending: boolean;
    }
  | { readonly origin: 'adopted'; readonly zoneless: readonly string[] };

const PENDING = 'foreign key pending';
const MARK =
  /\s*\[nestjs-api-key: (created|adopted)(?:, (?:without time zone: ([a-z_, ]*)|(foreign key pending)))?\]$/;

/**
 * Returns whether Rails created the table `api_keys`, and a migration of this package adopted it.
 */
export async function adoptedFromRails(dataSource: DataSource): Promise<boolean> {
  const note = await new Database(dataSource).read((session) => readNote(session, session.tables.keys));
  return note?.origin === 'adopted';
}

/** Returns the note in the comment of a table, or null if the comment contains no note. */
export async function readNote(session: Session, table: string): Promise<TableNote | null> {
  const match = MARK.exec(await readComment(session, table));
  if (!match) return null;
  if (match[1] === 'created') return { origin: 'created', isReferencePending: match[3] === PENDING };
  return { origin: 'adopted', zoneless: (match[2] ?? '').split(', ').filter(Boolean) };
}

/** Appends the note to the comment of a table. */
export async function writeNote(session: Session, table: string, note: TableNote): Promise<void> {
  const comment = await readComment(session, table);
  await writeComment(session, table, `${comment} ${mark(note)}`.trim());
}

/** Removes the note from the comment of a table. */
export async function eraseNote(session: Session, table: string): Promise<void> {
  await writeComment(session, table, (await readComment(session, table)).replace(MARK, ''));
}

/** Replaces the note in the comment of a table. */
export async function rewriteNote(session: Session, table: string, note: TableNote): Promise<void> {
  await eraseNote(session, table);
  await writeNote(session, table, note);
}

function mark(note: TableNote): string {
  if (note.origin === 'created')
    return `[nestjs-api-key: created${note.isReferencePending ? `, ${PENDING}` : ''}]`;
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
